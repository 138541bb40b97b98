"""Facts for negation_qa: subjects with a one-word answer, in seven relations.

No word occurs in two relations, and no two subjects of a relation share an answer. The exception is `colour`, in which
each answer belongs to two subjects.
"""

from dataclasses import dataclass

RELATIONS: dict[str, tuple[str, dict[str, str]]] = {
    "capital": (
        "The capital of {subject} is",
        {
            "Austria": "Vienna",
            "Canada": "Ottawa",
            "China": "Beijing",
            "Cuba": "Havana",
            "Egypt": "Cairo",
            "France": "Paris",
            "Germany": "Berlin",
            "Greece": "Athens",
            "Hungary": "Budapest",
            "Iran": "Tehran",
            "Iraq": "Baghdad",
            "Ireland": "Dublin",
            "Italy": "Rome",
            "Japan": "Tokyo",
            "Kenya": "Nairobi",
            "Norway": "Oslo",
            "Poland": "Warsaw",
            "Portugal": "Lisbon",
            "Russia": "Moscow",
            "Spain": "Madrid",
        },
    ),
    "symbol": (
        "The chemical symbol of {subject} is",
        {
            "calcium": "Ca",
            "chlorine": "Cl",
            "chromium": "Cr",
            "cobalt": "Co",
            "copper": "Cu",
            "gold": "Au",
            "iron": "Fe",
            "lead": "Pb",
            "lithium": "Li",
            "magnesium": "Mg",
            "mercury": "Hg",
            "neon": "Ne",
            "nickel": "Ni",
            "platinum": "Pt",
            "silicon": "Si",
            "silver": "Ag",
            "sodium": "Na",
            "tin": "Sn",
            "titanium": "Ti",
            "zinc": "Zn",
        },
    ),
    "young": (
        "The name of a baby {subject} is",
        {
            "bear": "cub",
            "butterfly": "caterpillar",
            "cat": "kitten",
            "chicken": "chick",
            "cow": "calf",
            "deer": "fawn",
            "dog": "puppy",
            "duck": "duckling",
            "eagle": "eaglet",
            "frog": "tadpole",
            "goat": "kid",
            "goose": "gosling",
            "hare": "leveret",
            "horse": "foal",
            "kangaroo": "joey",
            "owl": "owlet",
            "pig": "piglet",
            "seal": "pup",
            "sheep": "lamb",
            "swan": "cygnet",
        },
    ),
    "colour": (
        "The usual colour of {subject} is",
        {
            "snow": "white",
            "milk": "white",
            "coal": "black",
            "tar": "black",
            "blood": "red",
            "ketchup": "red",
            "grass": "green",
            "spinach": "green",
            "denim": "blue",
            "sapphires": "blue",
            "mustard": "yellow",
            "bananas": "yellow",
            "carrots": "orange",
            "pumpkins": "orange",
            "chocolate": "brown",
            "mud": "brown",
            "amethysts": "purple",
            "lavender": "purple",
            "flamingos": "pink",
            "bubblegum": "pink",
        },
    ),
    "plural": (
        "The plural of {subject} is",
        {
            "child": "children",
            "crisis": "crises",
            "elf": "elves",
            "foot": "feet",
            "half": "halves",
            "knife": "knives",
            "leaf": "leaves",
            "life": "lives",
            "loaf": "loaves",
            "louse": "lice",
            "man": "men",
            "mouse": "mice",
            "ox": "oxen",
            "person": "people",
            "shelf": "shelves",
            "thief": "thieves",
            "tooth": "teeth",
            "wife": "wives",
            "wolf": "wolves",
            "woman": "women",
        },
    ),
    "past": (
        "The past tense of {subject} is",
        {
            "begin": "began",
            "break": "broke",
            "bring": "brought",
            "buy": "bought",
            "catch": "caught",
            "choose": "chose",
            "come": "came",
            "drive": "drove",
            "eat": "ate",
            "fly": "flew",
            "give": "gave",
            "go": "went",
            "know": "knew",
            "see": "saw",
            "sing": "sang",
            "speak": "spoke",
            "swim": "swam",
            "take": "took",
            "teach": "taught",
            "write": "wrote",
        },
    ),
    "opposite": (
        "The opposite of {subject} is",
        {
            "big": "small",
            "cheap": "expensive",
            "clean": "dirty",
            "dark": "light",
            "deep": "shallow",
            "early": "late",
            "empty": "full",
            "fast": "slow",
            "good": "bad",
            "happy": "sad",
            "hard": "soft",
            "high": "low",
            "hot": "cold",
            "loud": "quiet",
            "old": "young",
            "rich": "poor",
            "strong": "weak",
            "tall": "short",
            "wet": "dry",
            "wide": "narrow",
        },
    ),
}
"""{relation: (question, {subject: answer})}."""


@dataclass(frozen=True)
class Fact:
    """A subject and its answer in one relation: `The capital of France is` → `Paris`."""

    relation: str
    subject: str
    answer: str

    @property
    def group(self) -> str:
        """The group of all items about this fact: `capital/France`."""
        return f"{self.relation}/{self.subject}"

    @property
    def question(self) -> str:
        """The statement without its answer: `The capital of France is`."""
        question, _ = RELATIONS[self.relation]
        return question.format(subject=self.subject)

    @property
    def statement(self) -> str:
        """The fact as a sentence: `The capital of France is Paris.`."""
        return f"{self.question} {self.answer}."


FACTS: tuple[Fact, ...] = tuple(
    Fact(relation, subject, answer)
    for relation, (_, answers) in RELATIONS.items()
    for subject, answer in answers.items()
)

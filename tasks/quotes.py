"""Famous quotes for quote_repetition, and the words that can replace their last word.

All are in the public domain: proverbs, the Bible in English, Shakespeare and nursery rhymes. They are sorted by the
kind of their last word. A quote stays grammatical if its last word is replaced by that of another quote of its kind.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

SAYINGS: Mapping[str, Mapping[str, str]] = {
    "thing": {
        "All the world is a stage": "game",
        "Any port in a storm": "",
        "Beauty is in the eye of the beholder": "king storm",
        "Confession is good for the soul": "man",
        "Curiosity killed the cat": "",
        "Do not make a mountain out of a molehill": "",
        "Do not put the cart before the horse": "",
        "Do not shoot the messenger": "cat horse king man",
        "Every cloud has a silver lining": "",
        "Every dog has its day": "name night price way",
        "Every man has his price": "day due horse name night way",
        "Every picture tells a story": "",
        "Experience is the best teacher": "game policy story way",
        "First catch your hare": "cat horse lamb worm",
        "Give a dog a bad name": "day teacher",
        "Give the devil his due": "name soul",
        "God moves in a mysterious way": "world",
        "God save the king": "man soul world",
        "Honesty is the best policy": "game teacher virtue way",
        "It is a small world": "price star",
        "It is always darkest before the dawn": "day storm sun",
        "It was a dark and stormy night": "day world",
        "Jack and Jill went up the hill": "",
        "Kill two birds with one stone": "",
        "Love will find a way": "day man",
        "Mary had a little lamb": "cat horse",
        "My kingdom for a horse": "",
        "Never judge a book by its cover": "name price story",
        "Never look a gift horse in the mouth": "",
        "Patience is a virtue": "game",
        "Pride comes before a fall": "storm",
        "Rome was not built in a day": "night",
        "Save for a rainy day": "night",
        "Slow and steady wins the race": "day game",
        "Speak of the devil": "king",
        "The apple never falls far from the tree": "",
        "The clothes make the man": "king",
        "The early bird catches the worm": "",
        "The eyes are the windows of the soul": "world",
        "The pen is mightier than the sword": "king",
        "The shoe is on the other foot": "cheek way",
        "The world is your oyster": "game stage",
        "There is no rose without a thorn": "price",
        "There is nothing new under the sun": "star",
        "Time and tide wait for no man": "king",
        "Tomorrow is another day": "game story world",
        "Turn the other cheek": "foot stone way",
        "Twinkle, twinkle, little star": "",
        "Two can play at that game": "",
        "Two wrongs do not make a right": "",
        "Where there is a will, there is a way": "",
        "You cannot get blood from a stone": "",
    },
    "things": {
        "A bad workman blames his tools": "",
        "A cat has nine lives": "tales",
        "A picture is worth a thousand words": "lies tales",
        "A plague on both your houses": "",
        "Actions speak louder than words": "",
        "April showers bring May flowers": "trees",
        "Ask no questions, hear no lies": "tales words",
        "Beggars cannot be choosers": "",
        "Dead men tell no tales": "lies",
        "Fine feathers make fine birds": "",
        "Good fences make good neighbours": "houses",
        "It was the best of times": "lives",
        "Money does not grow on trees": "",
        "Moderation in all things": "",
        "Never do things by halves": "numbers",
        "Nothing is certain but death and taxes": "",
        "People in glass houses should not throw stones": "",
        "Sticks and stones may break my bones": "",
        "The best laid plans of mice and men": "",
        "The devil is in the details": "numbers words",
        "The road to hell is paved with good intentions": "lies men stones",
        "The walls have ears": "",
        "There is safety in numbers": "houses",
        "Time heals all wounds": "bones men things",
        "You cannot see the wood for the trees": "flowers",
        "You cannot teach an old dog new tricks": "things words",
    },
    "stuff": {
        "A rolling stone gathers no moss": "",
        "All is fair in love and war": "death life",
        "All that glitters is not gold": "",
        "Attack is the best form of defence": "flattery",
        "Blood is thicker than water": "milk",
        "Brevity is the soul of wit": "fiction",
        "Charity begins at home": "school",
        "Discretion is the better part of valour": "life",
        "Do not tell tales out of school": "home",
        "Give me liberty or give me death": "life",
        "Imitation is the sincerest form of flattery": "defence",
        "It is no use crying over spilt milk": "water",
        "Laughter is the best medicine": "cure defence",
        "Let them eat cake": "broth",
        "Let there be light": "fire hope life time water",
        "Money cannot buy happiness": "hope life time",
        "Money is the root of all evil": "happiness life",
        "More haste, less speed": "time",
        "Necessity is the mother of invention": "fiction",
        "No pain, no gain": "cure medicine",
        "Parting is such sweet sorrow": "death",
        "Prevention is better than cure": "defence medicine",
        "Procrastination is the thief of time": "happiness life",
        "The rest is silence": "",
        "There is no place like home": "school",
        "There is no smoke without fire": "",
        "Too many cooks spoil the broth": "cake",
        "Truth is stranger than fiction": "",
        "Variety is the spice of life": "",
        "Where there is life, there is hope": "death",
        "Where there is smoke, there is fire": "",
        "You can lead a horse to water": "",
    },
    "quality": {
        "A new broom sweeps clean": "best dry",
        "All men are created equal": "free",
        "At night all cats are grey": "blue",
        "Bad news travels fast": "best first",
        "Beauty is only skin deep": "",
        "Better safe than sorry": "dead",
        "Blessed are the meek": "dead young",
        "Do not throw good money after bad": "",
        "Eat, drink and be merry": "free",
        "Fortune favours the bold": "best young",
        "Keep your powder dry": "clean",
        "Never speak ill of the dead": "",
        "Once bitten, twice shy": "",
        "Only the good die young": "best fast first",
        "Revenge is a dish best served cold": "first hot",
        "Roses are red, violets are blue": "golden grey",
        "Second thoughts are best": "bad deep first",
        "Speech is silver, silence is golden": "best",
        "Still waters run deep": "clean cold dry free",
        "Strike while the iron is hot": "cold",
        "The best things in life are free": "",
        "The customer is always right": "first",
        "The last shall be first": "best",
        "The spirit is willing, but the flesh is weak": "cold dead",
        "The truth will set you free": "right",
        "There is no rest for the wicked": "best dead meek",
    },
    "deed": {
        "Do not count your chickens before they hatch": "die",
        "Easy come, easy go": "",
        "Good things come to those who wait": "",
        "It is better to give than to receive": "get",
        "It is never too late to mend": "learn",
        "It takes two to tango": "part play speak",
        "Let my people go": "die",
        "Let sleeping dogs lie": "die",
        "Look before you leap": "go run speak",
        "Old soldiers never die": "learn",
        "Only time will tell": "mend",
        "Practice what you preach": "learn play",
        "Seek and you shall find": "get learn receive",
        "The best of friends must part": "die go",
        "Think before you speak": "go leap preach tell",
        "United we stand, divided we fall": "die",
        "What you see is what you get": "find",
        "When the cat is away, the mice will play": "",
        "You are never too old to learn": "mend play tango",
        "You are what you eat": "",
        "You must walk before you can run": "leap",
        "You reap what you sow": "",
    },
    "done": {
        "A fool and his money are soon parted": "lost",
        "A penny saved is a penny earned": "gained lost",
        "Ask and it shall be given": "done heard",
        "Children should be seen and not heard": "",
        "First come, first served": "chosen heard",
        "He who hesitates is lost": "",
        "It is better to be feared than loved": "",
        "Least said, soonest mended": "done",
        "Leave no stone unturned": "",
        "Many are called but few are chosen": "heard",
        "No sooner said than done": "heard",
        "Nothing ventured, nothing gained": "done earned lost",
        "Rules are made to be broken": "",
        "The die is cast": "",
        "Well begun is half done": "",
        "What cannot be cured must be endured": "loved",
    },
}
"""{kind of last word: {quote: last words of other quotes that fit about as well as its own}}.

A `thing` follows "the" or "a", `things` is a plural, `stuff` needs no article, `quality` is an adjective, `deed` a verb
as in "you must go", `done` a participle as in "it is broken".
"""


@dataclass(frozen=True)
class Quote:
    """A quote in two parts, such as `Actions speak louder than` and `words`, with its index among all quotes.

    `also_fit` are the endings of other quotes that fit about as well.
    """

    index: int
    kind: str
    beginning: str
    ending: str
    also_fit: frozenset[str]

    @property
    def sentence(self) -> str:
        """The original quote: `Actions speak louder than words.`."""
        return f"{self.beginning} {self.ending}."

    @property
    def group(self) -> str:
        """The group of all items about this quote: `things/Actions speak louder than words`."""
        return f"{self.kind}/{self.beginning} {self.ending}"

    @property
    def length(self) -> int:
        """The number of words and commas before the last word."""
        return count_words(self.beginning)


def count_words(text: str) -> int:
    """Count the words and commas of a text.

    >>> count_words("Once bitten, twice")
    4
    """
    return len(re.findall(r"\w+|,", text))


QUOTES: tuple[Quote, ...] = tuple(
    Quote(index, kind, beginning, ending, frozenset(also_fit.split()))
    for index, (kind, (beginning, _, ending), also_fit) in enumerate(
        (kind, saying.rpartition(" "), also_fit)
        for kind, sayings in SAYINGS.items()
        for saying, also_fit in sayings.items()
    )
)


@cache
def quotes_of(kind: str) -> tuple[Quote, ...]:
    """The quotes whose last word is of this kind."""
    return tuple(quote for quote in QUOTES if quote.kind == kind)


@cache
def endings_of(kind: str) -> tuple[str, ...]:
    """The distinct last words of this kind, in alphabetical order."""
    return tuple(sorted({quote.ending for quote in quotes_of(kind)}))


@cache
def alterations_of(quote: Quote) -> frozenset[str]:
    """The words that can replace the quote's last word: unexpected words of the same kind.

    Words that fit as well are left out, and so are words of the quote itself. A word is also left out if it ends another
    quote after the same two words (the best policy, the best teacher), or cannot follow "a".
    """
    last_two = quote.beginning.split(" ")[-2:]
    expected = {other.ending for other in quotes_of(quote.kind) if other.beginning.split(" ")[-2:] == last_two}
    own_words = set(re.findall(r"\w+", quote.beginning.lower()))
    unfit = {word for word in endings_of(quote.kind) if last_two[-1] == "a" and word[0] in "aeiou"}
    return frozenset(endings_of(quote.kind)) - expected - own_words - unfit - quote.also_fit

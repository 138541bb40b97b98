"""The built-in probes: one file each, and no probe imports another."""

from typing import TYPE_CHECKING

from distractor.probing.screening import Screening

from .ablation import Ablation, Compensation
from .activation_patching import ActivationPatching
from .attention import Attention
from .attribution_patching import AttributionPatching
from .chance import Chance
from .direct_attribution import DirectAttribution
from .linear_probe import LinearProbe
from .logit_lens import LogitLens
from .overcoming import Overcoming
from .path_patching import PathPatching
from .read_out import ReadOut

if TYPE_CHECKING:
    from distractor.probing.probe import Probe

PROBES: "dict[str, Probe]" = {
    "logit_lens": LogitLens(),
    "direct_attribution": DirectAttribution(),
    "direct_attribution_by_role": DirectAttribution(by_role=True),
    "activation_patching": ActivationPatching(),
    "head_patching": ActivationPatching(parts=("z", "mlp_out", "pattern"), screening=Screening()),
    "attribution_patching": AttributionPatching(),
    "head_attribution_patching": AttributionPatching(parts=("z", "mlp_out", "q", "k", "v", "pattern")),
    "path_patching": PathPatching(),
    "ablation": Ablation(compared=("zero", "cue_free"), screening=Screening()),
    "ablation_zero": Ablation(kind="zero"),
    "ablation_resample": Ablation(kind="resample"),
    "compensation": Compensation(),
    "overcoming": Overcoming(screening=Screening()),
    "read_out": ReadOut(),
    "attention": Attention(),
    "linear_probe": LinearProbe(),
    "chance": Chance(),
}
"""Every built-in probe by name, with its default settings."""

KNOCKOUT = Ablation(screening=Screening(above=25, largest=10, sample=5))
"""What `ablate` knocks out: every component of a small model. In larger ones as many as cost at most about five times the
scores; `KNOCKOUT.unscreened` knocks out all of them."""

DEFAULT = ("logit_lens", "head_patching", "ablation", "overcoming", "attention")
"""What `attribute` reads if no probe is named: the sites of both tasks, how the distractor is overcome, at which depth the
answer is settled, and where the heads look."""

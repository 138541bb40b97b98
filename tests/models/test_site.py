"""Names of sites: printed, read back, and refused where they are wrong."""

import re

import pytest

import tiny
from conftest import Hooked
from distractor.errors import ModelError
from distractor.models.site import HEAD_PARTS, SHARED_PARTS, STREAM_PARTS, Site, site_of

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_every_site_is_found_by_its_name(architecture: str, hooked: Hooked) -> None:
    model = hooked(architecture)
    sites = [site for part in HEAD_PARTS for site in model.head_sites(1, part)]
    sites += [Site(1, part) for part in STREAM_PARTS]
    assert [site_of(str(site)) for site in sites] == sites
    assert [site_of(str(site)).shared_by for site in sites] == [site.shared_by for site in sites]
    assert len({str(site) for site in sites}) == len(sites)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_shared_keys_and_values_are_named_by_all_their_query_heads(architecture: str, hooked: Hooked) -> None:
    model = hooked(architecture)
    for part in SHARED_PARTS:
        groups = [re.findall(r"\d+", site.head_name) for site in model.head_sites(0, part)]
        heads = [head for group in groups for head in range(int(group[0]), int(group[-1]) + 1)]
        assert heads == list(range(model.n_heads))
    assert [site.head_name for site in model.head_sites(0, "q")] == ["H0", "H1", "H2", "H3"]


def test_a_name_has_the_query_heads_and_the_site_the_number_of_the_shared_head(hooked: Hooked) -> None:
    assert str(hooked("llama_grouped_tied").head_sites(1, "v")[1]) == "L1H2-3.v"
    assert site_of("L1H2-3.v") == Site(1, "v", head=1)
    assert str(hooked("llama").head_sites(1, "v")[1]) == "L1H1.v"
    assert [site_of("L10H1.z"), site_of("L2.mlp_out")] == [Site(10, "z", 1), Site(2, "mlp_out")]


@pytest.mark.parametrize(
    "name",
    ["", "L1", "L1H2", "H2.z", "L1H2-3.z", "L1H3-4.v", "L1H3-2.v", "L1H2-2.v", "L01H2.z", "L1H0.mlp_out", "L1.attn"],
)
def test_a_name_that_no_model_has_is_refused_with_the_notation(name: str) -> None:
    with pytest.raises(ModelError, match=r"is not a site; .*L1H2-3\.v"):
        site_of(name)


@pytest.mark.parametrize("name", ["L1H1.v", "L1H3.k", "L1H0-3.v", "L1H4-5.v"])
def test_a_name_for_other_groups_is_refused_with_those_of_the_model(name: str, hooked: Hooked) -> None:
    part = name[-1]
    expected = rf"no {name}; it has L1H0-1\.{part} to L1H2-3\.{part}, because 2 query heads share"
    with pytest.raises(ModelError, match=expected):
        hooked("llama_grouped_tied").hook_name(site_of(name))
    assert hooked("llama_grouped_tied").hook_name(site_of(f"L1H2-3.{part}"))
    with pytest.raises(ModelError, match=r"no L1H2-3\.v; it has L1H0\.v to L1H3\.v"):
        hooked("llama").hook_name(site_of("L1H2-3.v"))

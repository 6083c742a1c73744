"""What a result depends on besides its settings, as nodes compare it and as MLflow shows it."""

import platform

from search.provenance import _installed, provenance, versions


def test_a_package_that_is_absent_is_said_so() -> None:
    assert _installed(("no-such-package",), "missing") == {
        "python": platform.python_version(),
        "no-such-package": "missing",
    }


def test_nodes_compare_versions_without_the_kind_of_device() -> None:
    found, tags = versions(), provenance()
    assert set(found) == {"python", "torch", "transformers", "ray", "transfersweep"}
    assert found["torch"] == tags["version.torch"].partition("+")[0]
    assert found["transfersweep"].startswith("code ")
    assert tags["version.transfersweep"].endswith(found["transfersweep"])

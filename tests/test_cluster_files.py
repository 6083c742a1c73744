"""The siblings of cluster.yaml say the same to other clouds, in the words of these clouds."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from ray import __version__ as ray_version
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[1]
FILES = ROOT / "clusters"
KUBERNETES = "1.37"
# What the command and the image of each cloud need, and no other has.
OF_A_CLOUD = re.compile(r"install .* (boto3|google-api-python-client)$|ami_id")
# The fields of KubeRay 1.5.1 that the file may use; kubectl refuses others. PyPI has no package with KubeRay's schema.
RAYJOB = {"entrypoint", "rayClusterSpec", "shutdownAfterJobFinishes"}
RAYCLUSTER = {"rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec"}
GROUP = {"rayStartParams", "template"}


def read(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return config


def shared(config: dict[str, Any]) -> dict[str, Any]:
    """Return what is the same on all machines, whoever rents them."""
    commands = {name: config[name] for name in config if name.endswith("_commands")}
    kept = {name: [each for each in commands[name] if not OF_A_CLOUD.search(each)] for name in commands}
    return {"file_mounts": config["file_mounts"], "rsync_exclude": config["rsync_exclude"], **kept}


def top(name: str, below: str) -> tuple[str, str]:
    """Return the text of a file above and from a line."""
    text = (ROOT / name).read_text()
    place = text.index(below)
    return text[:place], text[place:]


@pytest.mark.parametrize("name", ["own-machines", "gcp"])
def test_ray_accepts_a_sibling_and_it_says_what_cluster_yaml_says(name: str) -> None:
    sibling, aws = read(f"clusters/{name}.yaml"), shared(read("cluster.yaml"))
    validate_config(prepare_config(sibling))
    if name == "own-machines":  # no first boot
        del aws["initialization_commands"]
    assert shared(sibling) == aws


@pytest.mark.parametrize("name", ["cluster.yaml", "clusters/own-machines.yaml", "clusters/gcp.yaml"])
def test_what_one_must_change_is_at_the_top(name: str) -> None:
    above, below = top(name, "available_node_types:" if "own" not in name else "file_mounts:")
    assert "CHANGE" in above and "CHANGE" not in below


def test_the_nodes_on_google_cloud_are_those_on_aws() -> None:
    gcp, aws = read("clusters/gcp.yaml"), read("cluster.yaml")
    for key in ("max_workers", "upscaling_speed", "idle_timeout_minutes", "head_node_type"):
        assert gcp[key] == aws[key]
    kinds = [
        {name: {key: kind[key] for key in kind if key != "node_config"} for name, kind in types.items()}
        for types in (gcp["available_node_types"], aws["available_node_types"])
    ]
    assert kinds[0] == kinds[1]
    worker = gcp["available_node_types"]["gpu"]["node_config"]
    assert worker["scheduling"]["provisioningModel"] == "SPOT"


def mismatches(value: Any, schema: dict[str, Any], schemas: dict[str, Any], where: str) -> list[str]:
    """Return where a value differs from a schema of Google's API: unknown names, other types, unknown words."""
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    match schema["type"], value:
        case "object", dict():
            known = schema["properties"]
            return [
                problem
                for name, each in value.items()
                for problem in (mismatches(each, known[name], schemas, f"{where}.{name}") if name in known else [name])
            ]
        case "array", list():
            return [problem for each in value for problem in mismatches(each, schema["items"], schemas, where)]
        case ("string", str()) | ("boolean", bool()):
            return [where] if value not in schema.get("enum", [value]) else []
        case "string", int() if schema.get("format") == "int64":
            return []
    return [where]


def test_compute_engine_accepts_the_machines() -> None:
    known = json.loads((files("googleapiclient.discovery_cache") / "documents" / "compute.v1.json").read_text())
    for name, kind in read("clusters/gcp.yaml")["available_node_types"].items():
        assert mismatches(kind["node_config"], known["schemas"]["Instance"], known["schemas"], name) == []
    assert mismatches(
        {"scheduling": {"provisioningModel": "CHEAP"}}, known["schemas"]["Instance"], known["schemas"], ""
    )


@pytest.fixture(scope="module")
def rayjob() -> dict[str, Any]:
    return read("clusters/kubernetes.yaml")


def groups(rayjob: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    cluster = rayjob["spec"]["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    return cluster["headGroupSpec"], workers


def test_the_rayjob_has_only_fields_that_kuberay_knows(rayjob: dict[str, Any]) -> None:
    assert (rayjob["apiVersion"], rayjob["kind"]) == ("ray.io/v1", "RayJob")
    assert set(rayjob["spec"]) == RAYJOB
    cluster = rayjob["spec"]["rayClusterSpec"]
    assert set(cluster) == RAYCLUSTER | {"workerGroupSpecs"}
    assert (cluster["rayVersion"], cluster["authOptions"]) == (ray_version, {"mode": "token"})
    head, workers = groups(rayjob)
    assert set(head) == GROUP
    assert set(workers) == GROUP | {"groupName", "replicas", "minReplicas", "maxReplicas"}
    for group in (head, workers):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_kubernetes_accepts_every_pod_and_the_claim(rayjob: dict[str, Any]) -> None:
    claim, pod = yaml.safe_load_all((FILES / "kubernetes-storage.yaml").read_text())
    templates = [{"apiVersion": "v1", "kind": "Pod", **group["template"]} for group in groups(rayjob)]
    for number, each in enumerate([claim, pod, *templates]):
        named = {"metadata": {"name": f"number-{number}", **each.get("metadata", {})}}
        kubernetes_validate.validate(each | named, KUBERNETES, strict=True)
        if each["kind"] == "Pod":
            assert each["spec"]["volumes"] == pod["spec"]["volumes"]
            assert each["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
            (container,) = each["spec"]["containers"]
            assert container["volumeMounts"] == pod["spec"]["containers"][0]["volumeMounts"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_rays_autoscaler_reads_the_groups(rayjob: dict[str, Any]) -> None:
    cluster = {"metadata": {"name": "sms", "namespace": "default"}, "spec": rayjob["spec"]["rayClusterSpec"]}
    config = _derive_autoscaling_config_from_ray_cr(cluster)
    head, worker = (config["available_node_types"][name] for name in ("headgroup", "gpu"))
    assert (head["resources"]["CPU"], head["resources"].get("GPU", 0)) == (0, 0)
    assert (worker["resources"]["CPU"], worker["resources"]["GPU"]) == (8, 1)
    assert (worker["min_workers"], config["idle_timeout_minutes"]) == (0, read("cluster.yaml")["idle_timeout_minutes"])
    (container,) = groups(rayjob)[0]["template"]["spec"]["containers"]
    assert {"name": "TRANSFERSWEEP_WORKERS", "value": str(config["max_workers"])} in container["env"]


def test_what_one_must_change_for_kubernetes_is_above_the_head() -> None:
    above, below = top("clusters/kubernetes.yaml", "    headGroupSpec:")
    assert "CHANGE" in above and "CHANGE" not in below


def test_the_image_has_the_files_that_the_install_reads() -> None:
    text = (FILES / "Dockerfile").read_text()
    copied = {name for line in re.findall(r"^COPY \S+ (.*)$", text, re.MULTILINE) for name in line.split()[:-1]}
    mounted = set(read("cluster.yaml")["file_mounts"].values())
    assert {name for name in mounted if not name.startswith("~")} == copied
    assert f"FROM rayproject/ray:{ray_version}-py312" in text

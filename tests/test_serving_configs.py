"""The examples in serving/ can be read by what they are for, and name what is there."""

import json
import re
import shutil
import subprocess

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from helpers import ROOT
from srgan_tf.saved_models import zoo
from srgan_tf.upscaling.server import TIMEOUT

yaml = pytest.importorskip("yaml")
model_server_config_pb2 = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
FOLDER = ROOT / "serving"


def models():
    text = (FOLDER / "models.config").read_text(encoding="utf-8")
    return list(text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config)


def batching_parameters():
    """BatchingParameters, which no package declares, with the fields of session_bundle_config.proto that are used."""
    file = descriptor_pb2.FileDescriptorProto(name="batching.proto", syntax="proto3")
    for name, kind in (("Int64Value", "INT64"), ("BoolValue", "BOOL")):
        message = file.message_type.add(name=name)
        message.field.add(
            name="value", number=1, label=1, type=getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{kind}")
        )
    message = file.message_type.add(name="BatchingParameters")
    fields = (
        "max_batch_size",
        "batch_timeout_micros",
        "max_enqueued_batches",
        "num_batch_threads",
        "enable_large_batch_splitting",
        "max_execution_batch_size",
    )
    for number, name in enumerate(fields, 1):
        kind = "BoolValue" if name.startswith("enable") else "Int64Value"
        message.field.add(name=name, number=number, label=1, type=11, type_name=f".{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    parsed = message_factory.GetMessageClass(pool.FindMessageTypeByName("BatchingParameters"))()
    return text_format.Parse((FOLDER / "batching.config").read_text(encoding="utf-8"), parsed)


def compose():
    return yaml.safe_load((FOLDER / "docker-compose.yml").read_text(encoding="utf-8"))["services"]["serving"]


def kubernetes():
    deployment, service = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8"))
    return deployment, service


def test_every_shipped_model_is_served_under_its_name():
    assert {model.name: model.base_path for model in models()} == {name: f"/models/{name}" for name in zoo.shipped()}
    assert {model.model_platform for model in models()} == {"tensorflow"}


def test_pictures_of_different_requests_are_never_one_batch():
    batching = batching_parameters()
    assert batching.max_execution_batch_size.value == 1 and batching.enable_large_batch_splitting.value
    assert batching.max_batch_size.value > 1 and batching.num_batch_threads.value >= 1


def test_compose_mounts_what_its_flags_name():
    mounted = {
        inside: (FOLDER / outside).resolve()
        for outside, inside, _ in (volume.split(":") for volume in compose()["volumes"])
    }
    assert {model.base_path.rsplit("/", 1)[1] for model in models()} <= {
        child.name for child in mounted["/models"].iterdir()
    }
    for flag in compose()["command"]:
        if "/" in flag:
            folder, name = flag.split("=")[1].rsplit("/", 1)
            assert (mounted[folder] / name).is_file()
    assert compose()["ports"] == ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]  # no authentication: loopback only
    [test, *command] = compose()["healthcheck"]["test"]
    assert test == "CMD" and (mounted["/config"] / command[-1].removeprefix("/config/")).is_file()


def test_kubernetes_runs_what_compose_runs():
    deployment, service = kubernetes()
    pod = deployment["spec"]["template"]
    [container] = pod["spec"]["containers"]
    assert container["args"] == compose()["command"]
    assert {port["containerPort"] for port in container["ports"]} == {port["port"] for port in service["spec"]["ports"]}
    assert service["spec"]["selector"] == pod["metadata"]["labels"] == deployment["spec"]["selector"]["matchLabels"]
    check = {"command": compose()["healthcheck"]["test"][1:]}
    assert container["startupProbe"]["exec"] == container["readinessProbe"]["exec"] == check
    assert container["livenessProbe"]["tcpSocket"]["port"] in {port["name"] for port in container["ports"]}


def test_the_image_is_pinned_and_starts_the_server_as_compose_does():
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    [tag] = re.findall(r"^ARG TAG=(\S+)$", text, re.M)
    assert re.fullmatch(r"[\d.]+", tag) and compose()["image"] == f"tensorflow/serving:{tag}"
    assert json.loads(text.split("CMD ")[1].replace("\\\n", "")) == compose()["command"]


def test_prometheus_scrapes_the_path_that_the_server_is_told():
    text = (FOLDER / "monitoring.config").read_text(encoding="utf-8")
    path = re.search(r'prometheus_config \{\s+enable: true\s+path: "(\S+)"\s+\}', text)[1]
    [job] = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    notes = kubernetes()[0]["spec"]["template"]["metadata"]["annotations"]
    assert job["metrics_path"] == notes["prometheus.io/path"] == path
    assert notes["prometheus.io/port"] == job["static_configs"][0]["targets"][0].rsplit(":", 1)[1] == "8501"


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash, as the server's image has it")
def test_the_health_check_asks_for_every_model(server, tmp_path):
    shutil.copy(FOLDER / "ready.sh", tmp_path)
    known, absent = (f'config {{ name: "{name}" base_path: "/models/{name}" }}' for name in (server.name, "absent"))
    for text, status in (
        (known, 0),
        (f"{known}\n{absent}", 1),
        (f"{absent} {known}", 1),
        (known.replace(": ", ":"), 0),
        (absent.replace(": ", ":"), 1),
        (f"# {known}", 1),  # names no model
    ):
        (tmp_path / "models.config").write_text(text)
        done = subprocess.run(["bash", tmp_path / "ready.sh", str(server.rest_port)], capture_output=True, timeout=60)
        assert done.returncode == status, (text, done.stderr)
    (tmp_path / "models.config").write_text(known)
    closed = subprocess.run(["bash", tmp_path / "ready.sh", "1"], capture_output=True, timeout=60)
    assert closed.returncode == 1


def test_rest_waits_for_a_tile_as_long_as_upscale_does():
    page = (FOLDER.parent / "docs" / "serving.md").read_text(encoding="utf-8")
    starts = [line.split() for line in page.splitlines() if line.startswith("docker run")]
    assert starts
    for flags in (compose()["command"], *starts):
        assert f"--rest_api_timeout_in_ms={1000 * TIMEOUT:.0f}" in flags


@pytest.mark.parametrize("name", ["docker-compose.yml", "kubernetes.yaml"])
def test_the_gpu_lines_can_be_uncommented(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    marked = [
        line
        for line in text.splitlines()
        if line.lstrip().startswith("# ")
        and ("nvidia" in line or name == "docker-compose.yml" and line.startswith("    # "))
    ]
    assert marked
    for line in marked:
        text = text.replace(line, line.replace("# ", "", 1))
    assert "nvidia" in str(list(yaml.safe_load_all(text)))

"""Gets, lists by pages, watches and patches by Kubernetes' client for Python; says as JSON what it saw.

python calls.py KUBECONFIG NAMESPACE
"""
import base64
import json
import sys

from kubernetes import client, config, watch

config.load_kube_config(sys.argv[1])
namespace = sys.argv[2]
core = client.CoreV1Api()


def text(secret):
    return {key: base64.b64decode(value).decode() for key, value in secret.data.items()}


said = {"got": text(core.read_namespaced_secret("db", namespace)), "listed": [], "pages": 0}
token = None
while token != "":
    page = core.list_namespaced_config_map(namespace, limit=7, _continue=token)
    said["pages"] += 1
    said["listed"] += [item.metadata.name for item in page.items]
    token = page.metadata._continue or ""
one = {"field_selector": "metadata.name=db", "resource_version": "0", "timeout_seconds": 30}
event = next(iter(watch.Watch().stream(core.list_namespaced_secret, namespace, **one)))
said["watched"] = [event["type"], text(event["object"])["password"]]
said["groups"] = [group.name for group in client.ApisApi().get_api_versions().groups]
said["resources"] = [resource.name for resource in core.get_api_resources().resources]
said["patched"] = core.patch_namespaced_config_map("c-1", namespace, {"data": {"by": "python"}}).data["by"]
try:
    core.list_node()
except client.ApiException as error:
    said["refused"] = json.loads(error.body)["message"]
print(json.dumps(said))

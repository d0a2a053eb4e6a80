"""JSON schemas of Kubernetes' kinds, derived from the OpenAPI description of one release.

Usage: schemas.py SWAGGER OUT. SWAGGER is api/openapi-spec/swagger.json of Kubernetes' sources. For each kind a
file OUT/<kind>-<group>-<version>.json, as kubeconform looks for it, complete in itself and strict: a field
that the kind does not have is an error.
"""

import json
import pathlib
import sys

POINTER = "#/definitions/"
# Written as a number or as text.
BOTH = {"io.k8s.apimachinery.pkg.util.intstr.IntOrString": ["integer", "string"],
        "io.k8s.apimachinery.pkg.api.resource.Quantity": ["number", "string"]}


def strict(schema):
    """A copy in which objects have the fields they list and no others, and null stands for absent."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {name: strict(one) for name, one in schema.items() if not name.startswith("x-kubernetes")}
    if "properties" in copy and "additionalProperties" not in copy:
        copy["additionalProperties"] = False
    return copy


def references(schema, found: set) -> set:
    if isinstance(schema, list):
        for one in schema:
            references(one, found)
    elif isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            found.add(schema["$ref"].removeprefix(POINTER))
        for one in schema.values():
            references(one, found)
    return found


def reachable(name: str, definitions: dict) -> dict:
    todo, done = {name}, {}
    while todo:
        one = todo.pop()
        done[one] = definitions[one]
        todo |= references(definitions[one], set()) - done.keys()
    return done


def main(swagger: pathlib.Path, out: pathlib.Path) -> None:
    described = json.loads(swagger.read_text(encoding="utf-8"))["definitions"]
    definitions = {name: strict(one) for name, one in described.items()}
    for name, kinds in BOTH.items():
        definitions[name] = {"type": kinds}
    out.mkdir(parents=True, exist_ok=True)
    for name, one in described.items():
        for kind in one.get("x-kubernetes-group-version-kind", []):
            if len(one["x-kubernetes-group-version-kind"]) > 1:
                continue  # Options and lists that every group has.
            group = kind["group"].split(".")[0]
            parts = [kind["kind"], group, kind["version"]] if group else [kind["kind"], kind["version"]]
            schema = {"$schema": "http://json-schema.org/draft-07/schema#", "allOf": [{"$ref": POINTER + name}],
                      "definitions": reachable(name, definitions)}
            file = out / ("-".join(parts).lower() + ".json")
            file.write_text(json.dumps(schema), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))

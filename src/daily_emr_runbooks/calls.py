"""What modules call, read from their sources: nothing is executed.

A module reaches what its own file defines, and of the files of the collection that it imports only what it names, to
the end. In what is reached, calls are found at the gates of `Clients`: `clients.read(service)` with the methods that
stand in the same function or class, `clients.write(service, operation)`, and the gates that `GATES` of `_clients.py`
names. Where service or operation are no words there, they have to stand as data in the same file or in what it is
given: "service:Operation", or both words beside each other. What cannot be told is an error, never left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name

PLUGINS = Path("collections/ansible_collections/daily_emr/ops/plugins")
PACKAGE = "ansible_collections.daily_emr.ops.plugins.module_utils"
CLIENTS = "_clients"
MAKES = ("_create", "_gated")
"""Methods of Clients that make a client."""
READ = re.compile(r"(BatchGet|Describe|Get|Head|List|Lookup|Query|Scan|Search|Simulate|StartQuery)")
METHOD = re.compile(r"(batch_get|describe|get|head|list|lookup|search|simulate|start_query)_\w+")
LITERAL = re.compile(r"clients\s*\.(?:read|write)\(\s*\"([a-z0-9-]+)\"")
# Methods of botocore that send nothing: what they sign is let through by another action.
SIGNED = {"generate_db_auth_token": "rds-db:connect", "generate_presigned_url": "elasticache:Connect"}
DATA = re.compile(r"([a-z][a-z0-9-]+):([A-Z]\w+)")


class NotInferred(ValueError):
    """What a source calls cannot be told; the sentence says where, and what to write instead."""


@dataclass(frozen=True, order=True)
class Site:
    """One call that a file declares. gate: read, write, signed, or the name of another gate of Clients."""

    file: str
    service: str
    operation: str
    gate: str

    @property
    def call(self) -> str:
        return f"{self.service}:{self.operation}"


Name = tuple[str, str]
"""A file of the collection, without its ending, and what it defines at its top."""


@dataclass(frozen=True)
class File:
    """The names that a file defines at its top, each with its source, and where the others come from."""

    name: str
    defined: dict[str, tuple[ast.AST, ...]]
    imported: dict[str, Name]
    registered: dict[str, frozenset[str]]
    """Functions that a decorator puts into a value of the file: the value -> their names."""

    def references(self, name: str) -> set[Name]:
        """What the source of a name names, here and in other files."""
        found = {(self.name, other) for other in self.registered.get(name, ())}
        for node in (part for tree in self.defined[name] for part in ast.walk(tree)):
            if isinstance(node, ast.Name) and node.id in self.defined:
                found.add((self.name, node.id))
            elif isinstance(node, ast.Name) and node.id in self.imported:
                found.add(self.imported[node.id])
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                file, whole = self.imported.get(node.value.id, ("", ""))
                if file and not whole:
                    found.add((file, node.attr))
        return found - {(self.name, name)}


@lru_cache(maxsize=1024)
def _file(path: Path) -> File:
    tree = ast.parse(path.read_text())
    imported: dict[str, Name] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE):
            file = node.module[len(PACKAGE) + 1 :]
            for alias in node.names:
                imported[alias.asname or alias.name] = (file, alias.name) if file else (alias.name, "")
    defined: dict[str, list[ast.AST]] = {}
    for node in _top(tree.body):
        for name in _names(node):
            defined.setdefault(name, []).append(node)
    return File(path.stem, {name: tuple(some) for name, some in defined.items()}, imported, _registered(defined))


def _top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a file, also those that stand under an `if` or a `try`."""
    for node in body:
        if isinstance(node, ast.If):
            yield from _top([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from _top([*node.body, *node.orelse, *(one for each in node.handlers for one in each.body)])
        else:
            yield node


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [part.id for one in targets for part in ast.walk(one) if isinstance(part, ast.Name)]
    return []


def _registered(defined: dict[str, list[ast.AST]]) -> dict[str, frozenset[str]]:
    made: dict[str, set[str]] = {}
    for name, nodes in defined.items():
        for node in nodes:
            for decorator in getattr(node, "decorator_list", ()):
                words = {part.id for part in ast.walk(decorator) if isinstance(part, ast.Name)} & defined.keys()
                # `check = AREA.check`: who registers with one of them registers with both.
                values = [
                    one for word in words for one in defined[word] if isinstance(one, (ast.Assign, ast.AnnAssign))
                ]
                words |= {part.id for one in values for part in ast.walk(one) if isinstance(part, ast.Name)}
                for word in words & defined.keys():
                    made.setdefault(word, set()).add(name)
    return {name: frozenset(some) for name, some in made.items()}


@lru_cache(maxsize=1)
def _session() -> Any:
    return botocore.session.Session()


@lru_cache(maxsize=128)
def operations(service: str) -> dict[str, str]:
    """Method name -> operation of a service; empty for a word that is no service."""
    if service not in _session().get_available_services():
        return {}
    model = _session().get_service_model(service)
    return {xform_name(name): name for name in model.operation_names}


class Sources:
    """The sources of one checkout."""

    def __init__(self, root: Path) -> None:
        self.folder = root / PLUGINS
        self._files: dict[str, File | None] = {}
        self._named: dict[Name, set[Name]] = {}
        self._sites: dict[Name, frozenset[Site]] = {}
        self.gates = self._gates()
        self.proof = self._proof()

    def calls(self, module: str) -> set[Site]:
        """Every call that a module may make. NotInferred is raised where a source does not say which."""
        path = self.folder / "modules" / f"{module}.py"
        if not path.is_file():
            return set()
        names = self._reached({(module, name) for name in _file(path).defined})
        sites = {site for name in names for site in self.sites(name)}
        return sites | self.proof

    def declared(self) -> set[Site]:
        """Every call that a file of the collection declares, whoever reaches it."""
        found = set(self.proof)
        for kind in ("modules", "module_utils", "plugin_utils"):
            for path in sorted((self.folder / kind).glob("*.py")):
                if path.stem not in (CLIENTS, "__init__"):
                    found |= {site for name in _file(path).defined for site in self.sites((path.stem, name))}
        return found

    @cached_property
    def services(self) -> list[str]:
        """Every service that some file makes a client of."""
        texts = (path.read_text() for path in self.folder.glob("*/*.py"))
        return sorted({service for text in texts for service in LITERAL.findall(text) if operations(service)})

    def file(self, name: str) -> File | None:
        """A file of the collection; None when it is none of ours."""
        if name not in self._files:
            paths = [self.folder / kind / f"{name}.py" for kind in ("module_utils", "modules", "plugin_utils")]
            self._files[name] = next((_file(path) for path in paths if path.is_file()), None)
        return self._files[name]

    def _reached(self, todo: set[Name]) -> set[Name]:
        found = set[Name]()
        while todo:
            name = todo.pop()
            file = self.file(name[0])
            if name in found or name[0] == CLIENTS or file is None:
                continue
            if name[1] in file.imported:
                todo.add(file.imported[name[1]])
            elif name[1] in file.defined:
                found.add(name)
                if name not in self._named:
                    self._named[name] = file.references(name[1])
                todo |= self._named[name]
        return found

    def sites(self, name: Name) -> frozenset[Site]:
        """The calls in the source of one name."""
        if name not in self._sites:
            file = self.file(name[0])
            nodes = file.defined[name[1]] if file else ()
            self._sites[name] = frozenset(
                site for node in nodes if not isinstance(node, ast.Assign) for site in self._in(name, node)
            )
        return self._sites[name]

    def _in(self, name: Name, tree: ast.AST) -> Iterator[Site]:
        parts = list(ast.walk(tree))
        for node in parts:
            if isinstance(node, ast.arg) and _is_clients(node.annotation) and node.arg.lstrip("_") != "clients":
                raise NotInferred(f"{_place(name)} calls its Clients {node.arg}: name the parameter `clients`.")
        attributes = {node.attr for node in parts if isinstance(node, ast.Attribute)}
        words = attributes | {str(node.value) for node in parts if isinstance(node, ast.Constant)}
        found = set[Site]()
        for node in parts:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_gated(node.func.value):
                found |= set(self._at(name, node.func.attr, _given(node), words))
        self._refuse_strangers(name, attributes, found)
        yield from found

    def _refuse_strangers(self, name: Name, attributes: set[str], found: set[Site]) -> None:
        """A method that none of the services here has belongs to a client that somebody hands in."""
        here = {method for site in found for method in operations(site.service)}
        for method in sorted(one for one in attributes - here if METHOD.fullmatch(one)):
            owner = next((service for service in self.services if method in operations(service)), "")
            if owner:
                raise NotInferred(
                    f"{_place(name)} calls {method} of a client that was made elsewhere: make it with "
                    f'clients.read("{owner}") in the same function.'
                )

    def _at(self, name: Name, gate: str, given: list[str], words: set[str]) -> Iterator[Site]:
        if gate in self.gates:
            yield Site(name[0], *self.gates[gate], gate)
        elif gate == "read":
            yield from self._read(name, given, words)
        elif gate == "write":
            yield from self._write(name, given, words)

    def _read(self, name: Name, given: list[str], words: set[str]) -> Iterator[Site]:
        if not given or not given[0]:
            yield from self._data(name, "read")
            return
        service = given[0]
        known = operations(service)
        if not known:
            raise NotInferred(f"{_place(name)} reads {service}, which is no service of AWS.")
        named = sorted({known[word] for word in words & known.keys() if READ.match(known[word])})
        signed = [SIGNED[word] for word in SIGNED if word in words and SIGNED[word].startswith(service)]
        for one in signed:
            prefix, _, operation = one.partition(":")
            yield Site(name[0], prefix, operation, "signed")
        for operation in named:
            if f"{service}:{operation}" not in self._others:
                yield Site(name[0], service, operation, "read")
        if not named and not signed:
            raise NotInferred(
                f"{_place(name)} makes a client that reads {service} and names no read of it: call its methods in the "
                "same function or class."
            )

    def _write(self, name: Name, given: list[str], words: set[str]) -> Iterator[Site]:
        service, operation = (*given, "", "")[:2]
        if service and operation:
            if operation not in operations(service).values():
                raise NotInferred(f"{_place(name)} declares {service}:{operation}, which AWS does not have.")
            yield Site(name[0], service, operation, "write")
        elif service:
            named = sorted(set(operations(service).values()) & words)
            if not named:
                raise NotInferred(
                    f"{_place(name)} writes with {service} and no operation is named there: name each one as a word."
                )
            for one in named:
                yield Site(name[0], service, one, "write")
        else:
            yield from self._data(name, "write")

    @property
    def _others(self) -> set[str]:
        """Reads by their name that the client for reads refuses: they have gates of their own."""
        return {":".join(call) for call in self.gates.values()}

    def _data(self, name: Name, gate: str) -> Iterator[Site]:
        """What is called with words that come from data: all that this file and the others of its kind declare."""
        # _readiness.py reads what the checks in _readiness_*.py say, _teardown.py what its table says.
        found = set[Site]()
        paths = sorted((self.folder / "module_utils").glob(f"{name[0]}*.py"))
        for tree in (node for path in paths for nodes in _file(path).defined.values() for node in nodes):
            for service, operation in _declared(tree):
                if operation not in operations(service).values():
                    continue
                if (READ.match(operation) is not None) == (
                    gate == "read"
                ) and f"{service}:{operation}" not in self._others:
                    found.add(Site(name[0], service, operation, gate))
        if not found:
            raise NotInferred(
                f"{_place(name)} makes a client for a {gate} whose service is no word: declare the calls in the same "
                'file, as "service:Operation".'
            )
        yield from sorted(found)

    def _clients(self) -> tuple[File, list[ast.FunctionDef]]:
        """The file of the gates, and the methods of Clients."""
        file = _file(self.folder / "module_utils" / f"{CLIENTS}.py")
        (node,) = file.defined["Clients"]
        return file, [one for one in getattr(node, "body", []) if isinstance(one, ast.FunctionDef)]

    def _gates(self) -> dict[str, tuple[str, str]]:
        """The gates besides read and write, as GATES of _clients.py names them; each public one has to stand there."""
        file, methods = self._clients()
        (table,) = file.defined["GATES"]
        words = ast.literal_eval(table.value) if isinstance(table, ast.Assign) else {}
        gates = {str(name): (str(call).split(":")[0], str(call).split(":")[1]) for name, call in words.items()}
        for method in methods:
            makes = any(isinstance(node, ast.Attribute) and node.attr in MAKES for node in ast.walk(method))
            if makes and not method.name.startswith("_") and method.name not in {"read", "write", *gates}:
                raise NotInferred(
                    f"Clients.{method.name} makes a client, and GATES of {CLIENTS}.py does not say for which call: "
                    "add it."
                )
        return gates

    def _proof(self) -> set[Site]:
        """The calls by which every client proves where it is."""
        (prove,) = [method for method in self._clients()[1] if method.name == "_prove"]
        parts = list(ast.walk(prove))
        words = {node.attr for node in parts if isinstance(node, ast.Attribute)}
        made = [node for node in parts if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
        services = {
            _given(node)[0] for node in made if isinstance(node.func, ast.Attribute) and node.func.attr in MAKES
        }
        found = {
            Site(CLIENTS, service, operation, "read")
            for service in services
            for method, operation in operations(service).items()
            if method in words
        }
        if {site.service for site in found} != services:
            raise NotInferred("Clients._prove makes a client and names no method of it: nobody can say what it calls.")
        return found


def _declared(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (found := DATA.fullmatch(node.value)):
            yield found[1], found[2]
        elif isinstance(node, ast.Call):
            yield from ((one, two) for one, two in pairwise(_given(node)) if one and two)


def _is_clients(annotation: ast.expr | None) -> bool:
    parts = [annotation.left, annotation.right] if isinstance(annotation, ast.BinOp) else [annotation]
    return any(isinstance(part, ast.Name) and part.id == "Clients" for part in parts)


def _is_gated(node: ast.AST) -> bool:
    word = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return word.removeprefix("_") == "clients"


def _given(node: ast.Call) -> list[str]:
    """The arguments of a call; "" for one that is no word."""
    return [str(one.value) if isinstance(one, ast.Constant) else "" for one in node.args]


def _place(name: Name) -> str:
    return f"{name[1]} of {name[0]}.py"

"""Pages of the reference, made from the code when the documents are built: command line, specification, schema."""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from agd import registry
from agd.cli.app import app
from agd.db.tables import metadata
from agd.report.provenance import Node, Provenance
from agd.report.provenance_drawing import draw
from agd.spec import campaign
from agd.target import Target

HERE = Path(__file__).parent
VIEWS = HERE.parents[1] / "agd" / "db" / "views"
SPINE = (
    *("activity", "dataset", "composition", "label", "model_version", "training_set", "campaign", "iteration"),
    *("suggestion", "latent", "screening", "generation", "structure", "template_search", "structure_candidate"),
    *("relaxation", "hull_distance", "calculation", "calculation_attempt", "job"),
)
SECTIONS = (
    ("", campaign.CampaignSpec),
    ("[data]", campaign.DataSpec),
    ("[initial]", campaign.InitialSpec),
    ("[budget]", campaign.BudgetSpec),
    ("[autoencoder]", campaign.AutoencoderSpec),
    ("[oracle]", campaign.OracleSpec),
    ("[sampler]", campaign.SamplerSpec),
    ("[filter]", campaign.FilterOptions),
)
GROUPS = (("autoencoder", "agd.generators"), ("oracle", "agd.oracles"), ("sampler", "agd.samplers"))


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages."""
    made = {
        "reference/cli.md": "".join(cli()),
        "reference/specification.md": "".join(specification()),
        "reference/schema.md": "".join(schema()),
        "reference/schema.svg": spine(),
    }
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def cli() -> Iterator[str]:
    """Every verb with its options."""
    yield "# The command line\n\nEvery verb has `--help`. `agd --install-completion` completes names, too.\n"
    for words, command in _verbs(typer.main.get_command(app)):
        yield f"\n## agd {words}\n\n{_plain(command.help)}\n\n"
        rows = [_parameter(one) for one in command.params if one.name != "help" and not getattr(one, "hidden", False)]
        if rows:
            yield "| name | meaning | default |\n|---|---|---|\n" + "".join(rows)


def _verbs(group: Any, words: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        whole = f"{words} {name}".strip()
        if hasattr(command, "commands"):
            yield from _verbs(command, whole)
        elif not command.hidden:
            yield whole, command


def _parameter(one: Any) -> str:
    is_option = one.param_type_name == "option"
    names = ", ".join(f"`{name}`" for name in one.opts) if is_option else f"`{one.metavar or one.name.upper()}`"
    default = "" if one.default in (None, False, ()) or callable(one.default) else f"default `{_cell(one.default)}`"
    needed = "needed" if one.required and is_option else default
    return f"| {names} | {_cell(getattr(one, 'help', '') or '')} | {needed} |\n"


def specification() -> Iterator[str]:
    """Every key of a specification, then the options of each plug-in that comes with agd."""
    yield "# The specification\n\n" + (HERE / "specification.md").read_text(encoding="utf-8")
    for title, model in SECTIONS:
        yield f"\n## {f'`{title}`' if title else 'At the top'}\n\n{_plain(model.__doc__)}\n\n" + _keys(model)
    for section, group in GROUPS:
        for name in registry.names(group):
            kind = registry.load(group, name)
            yield f'\n### `[{section}] kind = "{name}"`\n\n{_plain(kind.__doc__)}\n\n' + (
                _keys(kind.options_type) or "It has no options.\n"
            )


def _keys(model: type[BaseModel]) -> str:
    rows = []
    for name, field in model.model_fields.items():
        if field.default is PydanticUndefined and field.default_factory is None:
            default = "needed"
        else:
            given = field.get_default(call_default_factory=True)
            default = "" if given in (None, (), {}, "") or isinstance(given, BaseModel) else f"`{_toml(given)}`"
        meaning = _cell(field.description or "")
        rows.append(f"| `{field.alias or name}` | {_type(field.annotation)} | {default} | {meaning} |\n")
    return "| key | type | default | meaning |\n|---|---|---|---|\n" + "".join(rows) if rows else ""


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


_TYPES: Mapping[object, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Target: "text",
}


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in {Union, UnionType}:
        return " or ".join(dict.fromkeys(_type(one) for one in arguments if one is not NoneType))
    if origin is Literal:
        return " or ".join(f"`{_toml(one)}`" for one in arguments)
    if origin is tuple or annotation is tuple:
        return f"list of {_type(arguments[0])}" if arguments else "list"
    if origin is not None and arguments and not hasattr(origin, "keys"):
        return _type(arguments[0])
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return "section"
    return _TYPES.get(annotation, "section")


def schema() -> Iterator[str]:
    """Views with what their texts say of them, then tables with their columns."""
    yield (
        "# The schema\n\nThe tables that all others hang on, an arrow from what is referred to:\n\n"
        '<div class="wide" markdown="0"><img src="../schema.svg" alt="Central tables and their references"></div>\n\n'
        "Rows are never changed or removed but through `agd_open_removal`; migrations alone make the schema.\n\n"
        "## Views\n\n"
    )
    for path in sorted(VIEWS.glob("v_*.sql")):
        comment = re.match(r"(?:--.*\n)+", path.read_text(encoding="utf-8"))
        words = " ".join(line.strip("- ") for line in comment[0].splitlines()) if comment else ""
        yield f"**`{path.stem}`** {words}\n\n"
    yield "## Tables\n"
    for table in sorted(metadata.tables.values(), key=lambda one: one.key):
        yield f"\n### {table.name}\n\n{_plain(table.comment)}\n\n| column | type | | \n|---|---|---|\n"
        for column in table.columns:
            goes_to = ", ".join(f"[{key.column.table.name}](#{key.column.table.name})" for key in column.foreign_keys)
            facts = [goes_to, "" if column.nullable else "not null", _cell(column.comment or "")]
            kind = column.type.compile(dialect=_dialect()).lower()
            yield f"| `{column.name}` | {kind} | {'; '.join(one for one in facts if one)} |\n"


def _dialect() -> Any:
    from sqlalchemy.dialects import postgresql

    return postgresql.dialect()  # type: ignore[no-untyped-call]


def spine() -> str:
    """The central tables and the references between them, as SVG."""
    tables = {name: metadata.tables[name] for name in SPINE}
    nodes = {name: Node("entity", name, _natural(table.columns.keys())) for name, table in tables.items()}
    found = {
        (name, key.column.table.name)
        for name, table in tables.items()
        for key in table.foreign_keys
        if key.column.table.name in tables
        and name not in {key.column.table.name, "activity"}
        and key.column.table.name != "activity"  # every table refers to what made its rows
    }
    arrows = [(effect, cause, "wasDerivedFrom") for effect, cause in sorted(found)]
    tied = {name for effect, cause, _ in arrows for name in (effect, cause)}
    return draw(Provenance("composition", {k: v for k, v in nodes.items() if k in tied}, arrows))  # type: ignore[arg-type]


def _natural(columns: Iterable[str]) -> list[str]:
    shown = [name for name in columns if name not in {"id", "activity_id"} and not name.endswith("_id")]
    return [", ".join(shown[i : i + 2]) for i in range(0, min(len(shown), 4), 2)]


def _plain(words: str | None) -> str:
    """A docstring up to what it raises, as Markdown."""
    return inspect.cleandoc(words or "").partition("\nRaises:")[0].strip()


def _cell(words: object) -> str:
    return " ".join(str(words).split()).replace("|", "\\|")

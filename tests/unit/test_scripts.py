"""The scripts of benchmarks and soaks, which no type checker and no other test looks at, name what is there."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
SCRIPTS = sorted([*HERE.glob("bench/*.py"), *HERE.glob("soak/*.py")])
OURS = ("agd", "agd_migrations", "agd_workflows")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_it_imports_of_ours_is_there(script: Path) -> None:
    for node in ast.walk(ast.parse(script.read_text())):
        if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] not in OURS:
            continue
        module = import_module(node.module or "")
        for name in node.names:
            if not hasattr(module, name.name):
                import_module(f"{node.module}.{name.name}")

"""What each format needs is checked before any work, and the lines that use it are complete."""

import ast
from dataclasses import replace

import pytest

from search.export.formats.about import FORMATS, Format, check_installed
from trainable.answers.registry import ANSWERS, answers_of
from trainable.errors import ConfigError


def test_missing_packages_are_named_with_the_command_that_installs_them() -> None:
    onnx = replace(FORMATS["onnx"], to_write=("json", "no_such_package"))
    with pytest.raises(ConfigError, match=r"^--format onnx needs no_such_package, which is not installed; run: pip in"):
        check_installed(onnx, onnx.to_write, "--format onnx")
    with pytest.raises(ConfigError, match=r"a, b, which are not installed.*'transfersweep\[onnx\]'$"):
        check_installed(onnx, ("a", "b"), "it")
    check_installed(FORMATS["hf"], FORMATS["hf"].to_write, "--format hf")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("task", ANSWERS)
def test_the_lines_for_users_are_python_and_end_with_a_value(name: Format, pairs: bool, task: str) -> None:
    answers = answers_of(task, ("a",))
    lines = FORMATS[name].usage('my "model"', pairs, answers)
    assert isinstance(ast.parse("\n".join(lines)).body[-1], ast.Expr)
    if not answers.lists_choices and not answers.row and "context" not in "\n".join(lines):
        assert ("Second text" in "\n".join(lines)) == (pairs or name == "bi-encoder")

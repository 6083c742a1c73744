import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yaml_text import dump_yaml

from spaces import Choice, Dimension, Float, Int, Share, Space, SpaceError, parse_space, space_schema
from trainable.settings.yaml_file import parse_yaml

scalars = st.none() | st.booleans() | st.integers(-99, 99) | st.floats(-1e9, 1e9) | st.text(max_size=8)
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
names = st.from_regex(r"[a-z]{1,4}(\.[a-z_]{1,4})?", fullmatch=True)
domains = (
    st.builds(lambda low, n, step: Int(low, low + n * step, step), *[st.integers(0, 50)] * 2, st.integers(1, 9))
    | st.builds(lambda low, n: Float(low, low * n, log=True), st.floats(1e-9, 1), st.integers(1, 1000))
    | st.builds(lambda n, step: Float(0, n * step / 8, step / 8), st.integers(0, 50), st.integers(1, 9))
    | st.builds(lambda low, n: Share(low, low + n / 8 * (1 - low)), st.floats(0, 1), st.integers(0, 8))
    | st.lists(
        st.none() | st.booleans() | st.integers() | st.floats(-1e300, 1e300) | text, min_size=1, unique=True
    ).map(lambda options: Choice(tuple(options)))
)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    dimensions: dict[str, Dimension] = {}
    for name in draw(st.lists(names, unique=True, max_size=6)):
        readable = [n for n, d in dimensions.items() if not isinstance(d.domain, Float)]
        parents = draw(st.lists(st.sampled_from(readable), unique=True, max_size=2)) if readable else []
        dimensions[name] = Dimension(draw(domains), {p: dimensions[p].domain.corners() for p in parents})
    order = draw(st.permutations(list(dimensions)))  # a condition may read a name that stands further down
    return Space({name: dimensions[name] for name in order})


@given(space=spaces())
def test_what_is_written_reads_back_the_same(space: Space) -> None:
    read = parse_space(parse_yaml(dump_yaml(space.to_mapping()), "dumped"))
    assert read == space == parse_space(space.to_mapping())
    assert repr(read) == repr(space)  # for ==, a choice of 1 is a choice of true
    assert read.names == space.names


def test_each_form_makes_its_domain() -> None:
    space = parse_space(
        {
            "a": {"int": ["1e1", 2e1]},
            "b": {"float": ["1e-5", "5e-4"], "log": True, "when": {"d": "x"}},
            "c": {"float": [0, 1], "step": "0.25", "when": {"d": ["x", None], "a": 12}},
            "d": {"choice": ["x", None, "1e-5"]},
        }
    )
    assert space.dimensions == {
        "a": Dimension(Int(10, 20)),
        "b": Dimension(Float(1e-5, 5e-4, log=True), {"d": ("x",)}),
        "c": Dimension(Float(0, 1, step=0.25), {"d": ("x", None), "a": (12,)}),
        "d": Dimension(Choice(("x", None, "1e-5"))),
    }


ALL_AT_ONCE = """
target.batch_size: [8, 16]
target.seed: 5
target: {epochs: {int: [1, 2]}, rate: {float: [0, 1]}}
target/rows: {int: [1, 2]}
e1: {int: [1.5, x], setp: 1}
e2: {int: [5, 1], step: 0, when: {e9: 1, e6x: 1}}
e3: {choice: [1, true], step: 2}
e4: {choice: 3, when: yes}
e5: {int: [1, 2], float: [1, 2]}
e6: {it: [3, 4]}
e7: {}
e8: {float: [1], log: yes}
e9: {choice: [a, b], when: {e10: a}}
e10: {choice: [a, b], when: {e9: [[a]]}}
e11: null
e12: {choice: [5, {per_class: 5}]}
"""


def test_all_mistakes_are_reported_at_once_with_path_value_and_advice() -> None:
    with pytest.raises(SpaceError) as caught:
        parse_space(parse_yaml(ALL_AT_ONCE, "sweep.yaml"), "space")
    assert caught.value.problems == (
        "space.target.batch_size: a list is not a domain; write {choice: [8, 16]}",
        "space.target.seed: must be {int: [low, high]}, {float: [low, high]} or {choice: [...]}, got 5; "
        "a setting that is not searched belongs under `trial`",
        "space.target: names are not nested in this block; write the dotted name `target.epochs:` and `target.rate:`",
        "space.target/rows: a name must not have '/' in it; write \"target.rows\"",
        "space.e1: no such key: \"setp\"; did you mean 'step'?",
        "space.e1: low must be a whole number (use `float:` for others), got 1.5",
        'space.e1: high must be a number, got "x"',
        "space.e2: low must not exceed high, got [5, 1]",
        "space.e2: step must be at least 1, got 0",
        "space.e3: step does not go with choice",
        "space.e3: true is the same option as 1; keep one",
        "space.e4: choice must be a list of options, got 3",
        'space.e4: when must map a name to its values, such as {source.enabled: true}, got "yes"',
        "space.e5: must have exactly one of int, float, share, choice, got int and float",
        "space.e6: no such key: \"it\"; did you mean 'int'?",
        "space.e7: must be {int: [low, high]}, {float: [low, high]} or {choice: [...]}, got {}",
        "space.e8: float must be [low, high], got [1]",
        'space.e8: log must be true or false, got "yes"',
        'space.e10: when: e9: a value must be text, a number, true, false or null, got ["a"]',
        "space.e11: must be {int: [low, high]}, {float: [low, high]} or {choice: [...]}, got null; "
        "a setting that is not searched belongs under `trial`",
        'space.e12: an option must be text, a finite number, true, false or null, got {"per_class": 5}; '
        "a mapping belongs under `trial`",
        'space.e2: when: e9 can never be 1; give one of "a", "b"',
        "space.e2: when: no such name in the space: \"e6x\"; did you mean 'e6'?",
    )


@pytest.mark.parametrize(
    "block", [None, [], "x", 3, {"x": {"int": [True, 2]}}, {"x": {"int": "12"}}, {1: {"int": [1, 2]}}]
)
def test_a_block_that_is_no_mapping_is_one_problem(block: object) -> None:
    with pytest.raises(SpaceError) as caught:
        parse_space(block)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith("space")


NAMES = {
    "target.epochs": {"type": "integer", "minimum": 1, "description": "Passes."},
    "target.learning_rate": {"type": "number"},
    "target.train_rows": {"anyOf": [{"oneOf": [{"type": "integer"}, {"$ref": "#/$defs/PerClass"}]}, {"type": "null"}]},
    "target.optimizer": {"enum": ["adamw", "sgd"], "type": "string"},
    "source.dataset": {"anyOf": [{"$ref": "#/$defs/Dataset"}, {"type": "string"}]},
}


@pytest.mark.parametrize(
    ("name", "domain", "fits"),
    [
        ("target.epochs", {"int": [1, 4], "step": 1}, True),
        ("target.epochs", {"float": [1, 4]}, False),
        ("target.epochs", {"choice": [1, 2], "when": {"target.optimizer": "sgd"}}, True),
        ("target.epochs", {"choice": [0]}, False),
        ("target.epochs", {"int": [1, 2], "when": {"target.optimiser": "sgd"}}, False),
        ("target.epochs", {"int": [1, 2], "choice": [1]}, False),
        ("target.learning_rate", {"float": [1e-5, 1e-4], "log": True}, True),
        ("target.learning_rate", {"float": [1e-5]}, False),
        ("target.train_rows", {"choice": [64, None]}, True),
        ("target.train_rows", {"int": [64, 128]}, True),
        ("target.train_rows", {"choice": ["all"]}, False),
        ("target.train_rows", {"choice": [{"per_class": 5}]}, False),
        ("target.optimizer", {"choice": ["adamw"], "when": {"target.epochs": [1, 2]}}, True),
        ("target.optimizer", {"choice": ["adamW"]}, False),
        ("target.optimizer", {"int": [1, 2]}, False),
        ("source.dataset", {"choice": ["films", "reviews"]}, True),
        ("target.epoch", {"int": [1, 4]}, False),
    ],
)
def test_the_schema_lets_through_what_can_be_parsed(name: str, domain: dict[str, object], fits: bool) -> None:
    schema = space_schema(NAMES, {})
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid({name: domain}) is fits
    assert schema["properties"]["target.epochs"]["description"] == "Passes."

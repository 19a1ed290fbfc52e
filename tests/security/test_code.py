"""What would run code from a file, or take it from the network, stays out of the source."""

import re

import pytest

from tests.pipeline.conftest import ROOT

SOURCES = sorted((ROOT / "src").rglob("*.py"))
PATTERNS = {
    "pickle": r"\b(c?pickle|cloudpickle|dill|joblib|shelve|marshal)\b",
    "torch.load": r"\btorch\.load\b|weights_only",
    "numpy's pickles": r"allow_pickle=True|np\.load\(",
    "pandas' pickles": r"read_pickle|to_pickle|read_hdf",
    "code": r"(?<![\w.])(eval|exec|compile|__import__)\(",
    "YAML that builds objects": r"yaml\.(load|full_load|unsafe_load|Loader|UnsafeLoader|FullLoader)\b",
    "remote code": r"trust_remote_code|AutoModel|AutoConfig|AutoTokenizer|torch\.hub",
    "shell": r"shell=True|os\.system|os\.popen",
    "archives": r"extractall|unpack_archive|tarfile",
    "compiled code that is kept": r"\bcache=True\b",
}
LISTED = {
    # the error of PyTorch's reader of tensors, for what is not a tensor
    ("embedding/checkpoint.py", "from pickle import UnpicklingError"),
    # tensors and nothing else, where a setting asks for it
    ("embedding/checkpoint.py", 'stored = torch.load(file, map_location="cpu", weights_only=True)'),
    # ruamel's round trip, which keeps comments and builds nothing, of what was read safely before
    ("params/overrides.py", 'content = yaml.load(PARAMS.read_text(encoding="utf-8"))'),
    # PyYAML's safe loader, with YAML 1.2's rules of what is a word
    ("params/reading.py", "return yaml.load(text, _PlainLoader)  # noqa: S506 - it is a safe one"),
    # what refuses such files says how somebody who trusts them converts them
    (
        "data/foreign.py",
        '_format(rb"\\x80[\\x02-\\x05]", "a pickle, which could run code", f"{_OWN} dnapair reads none."),',
    ),
    (
        "data/foreign.py",
        r'_format(rb"\x89HDF\r\n\x1a\n", "an HDF5 file", f"{_OWN} In pandas: read_hdf(...).to_csv(...)"),',
    ),
    # Numba's own, pickled where Python keeps its .pyc: code of whoever may write the source, and no data
    ("machine/compiling.py", 'return njit(nogil=True, error_model="numpy", cache=True)(function)'),
    # the code of transformers' users, in the card of an encoder
    ("pretraining/card.py", '"from transformers import AutoModel, AutoTokenizer",'),
    ("pretraining/card.py", '"tokenizer = AutoTokenizer.from_pretrained(folder)",'),
    (
        "pretraining/card.py",
        '"model = AutoModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32)",',
    ),
}
PROSE = re.compile(
    r'^\s*(#|""")|No (telemetry, )?pickle|nothing of it is pickled|no pickle|reads a model\'s pickle'
)


def found(pattern: str) -> set[tuple[str, str]]:
    return {
        (path.relative_to(ROOT / "src/dnapair").as_posix(), line.strip())
        for path in SOURCES
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(pattern, line) and not PROSE.search(line)
    }


@pytest.mark.parametrize("what", PATTERNS)
def test_the_source_has_none_but_what_is_listed(what: str) -> None:
    assert found(PATTERNS[what]) <= LISTED


def test_what_is_listed_is_there() -> None:
    assert set().union(*map(found, PATTERNS.values())) >= LISTED

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnapair.data import tables
from dnapair.data.dataset import Reading
from dnapair.errors import DnapairError
from tests.unit.data.reading import as_read, extra, read


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.text("ACGT", min_size=1, max_size=3), st.text("ACGT", min_size=1, max_size=3))),
)
def test_nothing_is_lost_without_being_counted(tmp_path, given_pairs):
    pairs = [("AAAA", "CCCC"), ("GGGG", "TTTT"), *given_pairs]
    text = "".join(f"{one},{two},{len(one + two) % 2}\n" for one, two in pairs)
    dataset = read(tmp_path, pairs__csv=f"seq1,seq2,label\nAAAAA,C,1\n{text}AAAA,C,1\n")
    unique = dict.fromkeys([("AAAAA", "C"), *pairs, ("AAAA", "C")])
    assert [pair[:2] for pair in as_read(dataset)] != []
    assert len(dataset.pairs) == dataset.counts["pairs"]["kept"]
    counts = dataset.counts["pairs"]
    assert counts["read"] == len(pairs) + 2 == counts["kept"] + counts["dropped_duplicate"]
    assert [pair[:2] for pair in as_read(dataset)] == list(unique)
    assert list(dataset.sequences) == list(dict.fromkeys(sequence for pair in unique for sequence in pair))


TEXT = st.text("acgtu", min_size=1, max_size=9)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(TEXT, TEXT, st.sampled_from("01"), st.sampled_from(["x", "y", ""])), max_size=40),
    st.integers(1, 200),
    st.booleans(),
)
def test_the_dataset_does_not_depend_on_the_size_of_batches(tmp_path, monkeypatch, given_rows, size, ids):
    rows = [("aaaa", "cc", "1", "x"), ("gg", "aaaa", "0", "y"), *given_rows]
    texts = list(dict.fromkeys(text for row in rows for text in row[:2]))
    names = {text: f"r{number}" for number, text in enumerate(reversed(texts))}
    head = "id1,id2" if ids else "seq1,seq2"
    lines = [f"{names[a]},{names[b]},{y},{kind}" if ids else f"{a},{b},{y},{kind}" for a, b, y, kind in rows]
    files = {
        "pairs__csv": "\n".join([f"{head},label,kind", *lines]),
        "more__csv": f"{head},label\n{lines[0][:-2]}\n",
    }
    if ids:
        files["s__fa"] = "".join(f">{name}\n{text}\n" for text, name in names.items())
    found = []
    for block in (2**20, size):
        with monkeypatch.context() as patch:
            patch.setattr(tables, "_BLOCK_BYTES", block)
            dataset = read(tmp_path, Reading(contradictory="drop"), **files)
        split = np.array(["train", "val"], object)[dataset.pairs["row1"] % 2]
        table = pa.Table.from_batches(dataset.pair_batches(split))
        found.append((list(dataset.ids), list(dataset.sequences), table.to_pydict(), dataset.counts))
    assert found[0] == found[1]
    # and it is what reading by hand gives
    plain = [(a.upper().replace("U", "T"), b.upper().replace("U", "T"), int(y)) for a, b, y, _ in rows]
    labels = {}
    for first, second, label in [plain[0], *plain]:
        labels.setdefault((first, second), set()).add(label)
    kept = [(*pair, *values) for pair, values in labels.items() if len(values) == 1]
    assert as_read(dataset) == kept
    assert list(dataset.sequences) == list(dict.fromkeys(text for pair in kept for text in pair[:2]))


def test_pairs_and_the_sequences_of_them_alone_can_be_left_out(tmp_path):
    text = "seq1,seq2,label,genome\nAAA,CCC,1,x\nGGG,AAA,0,y\nTTT,CCC,0,z\nTTT,GGG,1,u\n"
    left = read(tmp_path, **{"pairs.csv": text}).select(np.array([False, True, False, True]))
    assert list(left.sequences) == ["GGG", "AAA", "TTT"]
    assert list(left.ids) == ["sequence3", "sequence1", "sequence4"]
    assert left.rows.tolist() == [[0, 1], [2, 0]]
    assert extra(left, "genome") == ["y", "u"]
    assert left.places([1]) == [f"{tmp_path / 'pairs.csv'}, line 5"]
    written = pa.Table.from_batches(left.pair_batches(np.array(["train", "test"], object)))
    assert written["row1"].to_pylist() == [0, 2]
    assert written["genome"].to_pylist() == ["y", "u"]
    assert left.counts["pairs"]["kept"] == 2
    assert left.counts["sequences"] | {"read": 8} == {
        "read": 8,
        "identical_to_another": 4,
        "unused": 1,
        "kept": 3,
        "ambiguous": 0,
    }


def test_pair_table_keeps_every_column_and_its_own_names(tmp_path):
    text = "seq1,seq2,label,fold,split,row1\nACGT,GGGG,1,train,x,9\nTTTT,GGGG,0,test,y,8\n"
    dataset = read(tmp_path, pairs__csv=text)
    batches = dataset.pair_batches(np.array(["train", "test"]), without="fold")
    table = pa.Table.from_batches(batches).to_pandas()
    assert table.columns.tolist() == ["row1", "row2", "label", "split", "input_split", "input_row1"]
    assert table["split"].tolist() == ["train", "test"]
    assert table["input_split"].tolist() == ["x", "y"]


def test_a_missing_extra_column_is_named_with_those_there(tmp_path):
    dataset = read(tmp_path, pairs__csv="seq1,seq2,label,fold\nACGT,GGGG,1,x\nTTTT,GGGG,0,y\n")
    with pytest.raises(DnapairError, match=r"no column 'split', but split\.column .* are: fold\. Mend it"):
        dataset.extra_columns(["split"], "split.column", "Mend it")


GROWTH = """
import resource, sys
from pathlib import Path
import numpy as np
from dnapair.data.dataset import Reading, read_dataset
from dnapair.data.raw_files import find_files
from dnapair.data.splits import predefined_split
folder, count = Path(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)
with (folder / "s.fa").open("w") as fasta:
    for row in range(count // 2):
        fasta.write(f">s{row}\\n{''.join(rng.choice(list('ACGT'), 200))}\\n")
with (folder / "pairs.csv").open("w") as table:
    table.write("id1,id2,label,split\\n")
    for row, (first, second) in enumerate(rng.integers(0, count // 2, (count, 2))):
        table.write(f"s{first},s{second},{row % 2},{('train', 'test')[row % 3 == 0]}\\n")
dataset = read_dataset(find_files(folder), Reading(contradictory="drop"))
names = dataset.extra_columns(["split"], "", "")["split"]
split = predefined_split(names, dataset.pairs["label"].to_numpy(), 0.1, 1, dataset.places).split
for batch in dataset.pair_batches(split):
    pass
assert sum(map(len, dataset.sequences)) == 200 * len(dataset.sequences)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_memory_grows_by_compact_arrays_alone(tmp_path):
    peaks = []
    for count in (20_000, 200_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        command = [sys.executable, "-c", GROWTH, str(folder), str(count)]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    # strings and frames took more than 800 bytes a pair
    assert (peaks[1] - peaks[0]) / 180_000 < 400

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnapair.storage.string_index import Texts

WORDS = st.lists(st.text(max_size=3))


@given(st.lists(WORDS, max_size=5), WORDS)
def test_texts_are_found_where_they_were_first_written(batches, others):
    texts, plain = Texts(), []
    for batch in batches:
        for text in batch:
            texts.append(text)
        plain += batch
        assert texts.find([*others, *batch]).tolist() == [
            plain.index(text) if text in plain else -1 for text in [*others, *batch]
        ]
    assert list(texts) == texts[:] == plain
    assert texts.firsts().tolist() == [plain.index(text) for text in plain]


@given(WORDS, WORDS)
def test_added_texts_are_there_once(first, second):
    texts = Texts()
    rows = np.concatenate([texts.add(first), texts.add(second)])
    assert list(texts) == list(dict.fromkeys([*first, *second]))
    assert [texts[row] for row in rows.tolist()] == [*first, *second]


def test_forgotten_texts_are_still_read(tmp_path):
    texts = Texts(tmp_path)
    texts.append("ACGT")
    assert not list(tmp_path.iterdir())
    texts.forget()
    assert texts[0] == "ACGT"
    with pytest.raises(IndexError):
        texts[1]

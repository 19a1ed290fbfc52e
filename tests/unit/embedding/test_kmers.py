from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertTokenizer

from dnapair.embedding.kmers import KmerVocabulary, kmer_codes
from dnapair.errors import DnapairError

dna = st.text("ACGTN", min_size=6, max_size=200)


@pytest.fixture(scope="module")
def vocabulary_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    KmerVocabulary.standard(6).write(path)
    return path


@pytest.fixture(scope="module")
def tokenizer(vocabulary_file: Path) -> BertTokenizer:
    vocabulary = {token: place for place, token in enumerate(vocabulary_file.read_text().split())}
    return BertTokenizer(vocab=vocabulary, do_lower_case=False)


def test_ends_of_dnaberts_vocabulary():
    vocabulary = KmerVocabulary.standard(6)
    assert vocabulary.encode("AAAAAA").tolist() == [5]
    assert vocabulary.encode("GGGGGG").tolist() == [4100]
    assert vocabulary.size == 4101


@given(sequence=dna)
def test_ids_equal_the_hugging_face_tokenizers(tokenizer: BertTokenizer, sequence: str):
    spaced = " ".join(sequence[start : start + 6] for start in range(len(sequence) - 5))
    expected = tokenizer(spaced, add_special_tokens=False)["input_ids"]
    assert KmerVocabulary.standard(6).encode(sequence).tolist() == expected


@given(sequence=st.text("ACGTN", max_size=30), k=st.integers(1, 6))
def test_codes_count_in_base_4(sequence: str, k: int):
    order = {"".join(letters): place for place, letters in enumerate(product("ATCG", repeat=k))}
    expected = [order.get(sequence[start : start + k], -1) for start in range(len(sequence) - k + 1)]
    assert kmer_codes(sequence, k).tolist() == expected


@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_vocabulary_survives_its_file(tmp_path: Path, k: int):
    KmerVocabulary.standard(k).write(tmp_path / "vocab.txt")
    read = KmerVocabulary.from_file(tmp_path / "vocab.txt")
    assert read._replace(ids=None) == KmerVocabulary.standard(k)._replace(ids=None)
    np.testing.assert_array_equal(read.ids, KmerVocabulary.standard(k).ids)


def test_another_order_of_the_vocabulary_is_followed(tmp_path: Path):
    tokens = ["".join(letters) for letters in product("ACGT", repeat=3)]
    (tmp_path / "vocab.txt").write_text("\n".join(["[UNK]", *tokens, "[SEP]", "[CLS]", "[PAD]"]))
    vocabulary = KmerVocabulary.from_file(tmp_path / "vocab.txt")
    assert vocabulary.encode("AACG").tolist() == [1 + tokens.index("AAC"), 1 + tokens.index("ACG")]
    assert (vocabulary.unk, vocabulary.pad) == (0, 67)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello\nworld\n", r"no \[PAD\]"),
        ("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nAAA\nAAT\n", "lacks 62 of the 64 3-mers"),
        ("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nAAA\nAAAA\n", "one k from 3 to 6"),
        ("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nof\n", "no length"),
    ],
)
def test_another_vocabulary_is_refused(tmp_path: Path, text: str, words: str):
    (tmp_path / "vocab.txt").write_text(text)
    with pytest.raises(DnapairError, match=words):
        KmerVocabulary.from_file(tmp_path / "vocab.txt")


def test_missing_vocabulary_is_refused(tmp_path: Path):
    with pytest.raises(DnapairError, match=r"vocab\.txt is missing"):
        KmerVocabulary.from_file(tmp_path / "vocab.txt")

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnapair.data.sequences import fasta_records, find_ambiguous, normalize, read_fasta, reverse_complement
from dnapair.errors import DnapairError

dna = st.text("ACGT", min_size=1, max_size=60)


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("text", "sequence"),
    [
        ("ACGT", "ACGT"),
        ("acgtNn", "ACGTNN"),
        ("ACGU", "ACGT"),
        (" ACGT\r\n", "ACGT"),
        ("acgtacgtac ggtacgtacg tta", "ACGTACGTACGGTACGTACGTTA"),
        ("ACGTAC CGTACG GTACGT", "ACGTACGT"),
        ("acg cgu gua", "ACGTA"),
        ("A C G", "ACG"),
        ("", ""),
        ("  ", ""),
    ],
)
def test_normalize_knows_every_way_to_write_a_sequence(text, sequence):
    assert normalize(text) == sequence


@given(dna, st.integers(1, 6))
def test_normalize_undoes_the_cutting_into_kmers(sequence, k):
    words = [sequence[start : start + k] for start in range(len(sequence) - k + 1)] or [sequence]
    assert normalize(" ".join(words)) == sequence


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ACGT CGTA TTAC", r"k-mer 3 \(TTAC\) does not go on from k-mer 2 \(CGTA\): .* share 3 letters"),
        ("ACGTAC CGTACG GTACG", "word 3 has 5 letters and word 1 has 6"),
    ],
)
def test_normalize_refuses_words_that_do_not_overlap(text, message):
    with pytest.raises(DnapairError, match=message):
        normalize(text)


def test_reverse_complement_pairs_the_ambiguous_letters_too():
    assert reverse_complement("AACGTRYKMSWBDHVN") == "NBDHVWSKMRYACGTT"


@given(dna)
def test_reverse_complement_twice_is_the_sequence(sequence):
    assert reverse_complement(reverse_complement(sequence)) == sequence


def test_find_ambiguous_tells_letter_position_and_total():
    assert find_ambiguous("ACGT") is None
    assert find_ambiguous("ACNGRN") == ("N", 3, 3)


def test_fasta_wrapped_soft_masked_windows_and_byte_order_mark(tmp_path):
    path = write(tmp_path / "a.fa", "\ufeff>one first record\r\nACGT\r\nacgu\r\n\r\n>two\r\nNN\r\n")
    fasta = read_fasta([path])
    assert list(fasta.ids) == ["one", "two"]
    assert list(fasta.sequences) == ["ACGTACGT", "NN"]


def test_fasta_gz_equals_plain_and_files_are_read_in_turn(tmp_path):
    plain = write(tmp_path / "a.fa", ">one\nACGT\n>two\nAA\n")
    packed = write(tmp_path / "b.fa.gz", gzip.compress(b">three\nGG\n"))
    fasta = read_fasta([plain, packed])
    assert list(fasta.ids) == ["one", "two", "three"]
    assert list(fasta.sequences) == ["ACGT", "AA", "GG"]
    assert fasta.sizes == {plain: 2, packed: 1}
    assert [fasta.place(record) for record in fasta.ids] == [
        f"{plain}, record one",
        f"{plain}, record two",
        f"{packed}, record three",
    ]


@pytest.mark.parametrize(
    ("lines", "sequence"),
    [
        ("ACGTACGTAC GGTACGTACG\nTTACGTACGT TA", "ACGTACGTACGGTACGTACGTTACGTACGTTA"),
        ("ACG TTA\tCC\nACG", "ACGTTACCACG"),
        ("ATG GCC AAA", "ATGGCCAAA"),
        ("ACG CGT\nGTA TAC", "ACGTAC"),
        ("   1 acgtacgtac ggtacgtacg\n  21 ttac", "ACGTACGTACGGTACGTACGTTAC"),
        ("acgtacgtac ggtacgtacg  20\nttac  24", "ACGTACGTACGGTACGTACGTTAC"),
        ("ACGT\nAC*", "ACGTAC"),
        ("ACGT AC\n*", "ACGTAC"),
        ("; a comment\nACGT\n# another\n  \nAC", "ACGTAC"),
        ("acgt\nac-N", "ACGTAC-N"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_fasta_as_databases_and_people_write_it(tmp_path, lines, sequence, end):
    text = f"; of 1985\n\n>one x\n{lines}\n>two\nACGT\n".replace("\n", end)
    fasta = read_fasta([write(tmp_path / "a.fa", text)])
    assert list(fasta.ids) == ["one", "two"]
    assert list(fasta.sequences) == [sequence, "ACGT"]


def test_fasta_of_two_kinds_of_line_ends(tmp_path):
    fasta = read_fasta([write(tmp_path / "a.fa", ">one\rAC\rGT\r>two\nAA\n>three\r\nCC\r\n")])
    assert dict(zip(fasta.ids, fasta.sequences, strict=True)) == {"one": "ACGT", "two": "AA", "three": "CC"}


@given(dna, st.integers(4, 80), st.integers(4, 15), st.booleans())
def test_fasta_blocks_of_any_length_are_the_sequence(tmp_path_factory, sequence, width, block, numbered):
    # k-mers are told from blocks by their overlap: what repeats itself could be either
    sequence = f"ACGGTTCAATGCCTAG{sequence}AACCTTGAGCCATTGA"
    lines = []
    for start in range(0, len(sequence), width):
        line = sequence[start : start + width]
        blocks = " ".join(line[place : place + block] for place in range(0, len(line), block))
        lines.append(f"{start + 1:9d} {blocks}" if numbered else blocks)
    path = write(tmp_path_factory.mktemp("fasta") / "a.fa", "\n".join([">a", *lines, ""]))
    assert list(read_fasta([path]).sequences) == [sequence]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_description_may_have_any_letters(tmp_path, encoding):
    text = ">a1 Müller strain x2\nACGT\n>b à\nAC\n"
    path = write(tmp_path / "a.fa", text.encode(encoding))
    assert [header for _, header, _ in fasta_records(path)] == ["a1 Müller strain x2", "b à"]
    assert list(read_fasta([path]).ids) == ["a1", "b"]


def test_an_id_in_utf8_goes_with_a_description_in_latin1(tmp_path):
    path = write(tmp_path / "a.fa", ">Müller_à ".encode() + "Müller à".encode("latin-1") + b"\nACGT\n")
    assert [header for _, header, _ in fasta_records(path)] == ["Müller_à Müller à"]


def packed_fasta():
    return gzip.compress(b"".join(b">r%d\n%s\n" % (i, b"ACGT" * (i % 50 + 1)) for i in range(2000)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.fa", "", r"a\.fa is empty"),
        ("a.fa", "ACGT\n", r"a\.fa, line 1: not FASTA"),
        ("a.fa", ">one\nAC\n>two\n>three\nAC\n", r"a\.fa, record two has no sequence"),
        ("a.fa", ">one\nAC\n> \nAC\n", r"a\.fa, record 2 has no id"),
        ("a.fa", b">one\nAC\n> \x80\nAC\n", r"a\.fa, record 2 has no id"),
        ("a.fa", ">one\nACGT CGTT TTTT\n", r"a\.fa, record one: k-mer 3 \(TTTT\) does not go on"),
        ("a.fa", b">one\nAC\n>caf\xe9 x\nAC\n", r"a\.fa, line 3: the record's id, 'caf\xe9', is not UTF-8"),
        ("a.fa", ">one\nAC\n\nACGT>two\nAC\n", r"a\.fa, line 4: a `>` in the middle .* 'ACGT>two'"),
        ("a.fa", ">one\nAC>\n", r"a\.fa, line 2: a `>` in the middle"),
        ("a.fa", ">one\nAC\nA\u00a0C\n", r"a\.fa, line 3: '\xc2' in a sequence"),
        ("a.fa", ">one\nAC\nA1C\n", r"a\.fa, line 3: '1' in a sequence"),
        ("a.fa", ">one\n1 ACGT\n6 ACGT\n", r"a\.fa, line 3 begins with 6, but that base is number 5"),
        ("a.fa", ">one\nACGT ACG 8\n", r"a\.fa, line 2 ends with 8, but that base is number 7"),
        ("a.fa", ">one\n40 40 38\n", r"a\.fa, line 2 begins with 40, but that base is number 1"),
        ("a.fa", ">one\n*\n", r"a\.fa, record one has no sequence"),
        ("a.fa", "@one\nACGT\n+\n!!!!\n", r"not FASTA: .* with '@one'\. It looks like FASTQ"),
        ("a.fa", "LOCUS  AB1\n", r"a.fa is a GenBank file.* seqret -sequence"),
        ("a.fa.gz", packed_fasta()[:-200], r"a\.fa\.gz is damaged"),
        ("a.fa.gz", b"no gz \x00 at all", r"a\.fa\.gz is damaged"),
        ("a.fa.gz", b"ACGT", r"a\.fa\.gz, line 1: not FASTA"),
        ("a.fa.gz", packed_fasta()[:200] + bytes(50) + packed_fasta()[250:], r"a\.fa\.gz is damaged"),
    ],
)
def test_bad_fasta_is_one_clear_error(tmp_path, name, content, message):
    with pytest.raises(DnapairError, match=message):
        read_fasta([write(tmp_path / name, content)])


def test_an_id_that_is_there_twice_is_shown_with_both_lines(tmp_path):
    first = write(tmp_path / "a.fa", ">one x\nAC\n>two\nGT\n>one y\nAC\n")
    second = write(tmp_path / "b.fa", ">two z\nAC\n")
    with pytest.raises(DnapairError) as caught:
        read_fasta([first, second])
    message = str(caught.value)
    assert message.startswith("2 FASTA id(s)")
    assert f"one: {first}, line 1 and {first}, line 5" in message
    assert f"two: {first}, line 3 and {second}, line 1" in message

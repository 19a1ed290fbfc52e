import gzip
import subprocess
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnapair.data.genome_files import open_genome
from dnapair.errors import DnapairError
from tests.unit.data.genome_writing import pack, write_2bit, write_bgzip, write_fasta

CHROMOSOMES = {"chr1": "NNacgtACGTTGCANNNNGATTACA", "chr2": "G" * 61, "scaffold_3": "A"}

letters = st.text(st.sampled_from("ACGTNacgtn"), min_size=1, max_size=300)
genomes = st.dictionaries(st.text("abcXYZ019_.", min_size=1, max_size=12), letters, min_size=1, max_size=4)
WRITERS = {
    "FASTA": write_fasta,
    "one line a record": lambda path, chromosomes: write_fasta(path, chromosomes, 10**6),
    "bgzip": write_bgzip,
    "2bit": write_2bit,
    "2bit, big-endian": lambda path, chromosomes: write_2bit(path, chromosomes, ">"),
    "2bit, 64 bits": lambda path, chromosomes: write_2bit(path, chromosomes, version=1),
}


@pytest.mark.parametrize("kind", WRITERS)
@given(chromosomes=genomes, data=st.data())
def test_every_format_gives_the_bases_of_a_place(tmp_path_factory, kind, chromosomes, data):
    path = WRITERS[kind](tmp_path_factory.mktemp("genome") / "genome", chromosomes)
    genome = open_genome(path)
    assert genome.lengths == {name: len(sequence) for name, sequence in chromosomes.items()}
    for name, sequence in chromosomes.items():
        start = data.draw(st.integers(0, len(sequence) - 1))
        end = data.draw(st.integers(start + 1, len(sequence)))
        assert genome.fetch(name, start, end) == sequence[start:end].upper()


def test_an_rna_genome_is_read_as_dna(tmp_path):
    assert open_genome(write_fasta(tmp_path / "g.fa", {"v": "ACGU"})).fetch("v", 0, 4) == "ACGT"


def test_nothing_is_written_beside_the_genome_and_an_old_index_there_is_not_read(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    genome = write_fasta(folder / "g.fa", CHROMOSOMES)
    (folder / "g.fa.fai").write_text("chr1\t5\t0\t5\t6\n")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    folder.chmod(0o500)
    assert open_genome(genome, scratch).fetch("chr2", 59, 61) == "GG"
    folder.chmod(0o700)
    assert sorted(file.name for file in folder.iterdir()) == ["g.fa", "g.fa.fai"]
    assert list(scratch.iterdir()) == []


def follow(message: str, folder) -> str:
    """Run the command of a message, and return the file that it names instead."""
    command, _, rest = message.partition("(")[2].partition(") and name ")
    subprocess.run(["sh", "-ec", command], cwd=folder, check=True)
    return rest.split(";")[0]


def test_plain_gz_is_refused_with_a_command_that_mends_it(tmp_path):
    content = gzip.compress(b">chr1\nACGTAC\n")
    # one has the name that it would have unpacked
    for own in ("my genome.fa.gz", "genome.fa"):
        packed = tmp_path / own
        packed.write_bytes(content)
        with pytest.raises(DnapairError, match="packed by gzip") as caught:
            open_genome(packed)
        name = follow(str(caught.value), tmp_path).strip("'")
        assert open_genome(tmp_path / name).fetch("chr1", 2, 6) == "GTAC"
        assert packed.read_bytes() == content


@pytest.mark.parametrize("packed", [False, True])
def test_lines_of_unequal_length_are_told_with_a_command_that_mends_them(tmp_path, packed):
    genome = write_fasta(tmp_path / "genome.fa", CHROMOSOMES)
    genome.write_text(genome.read_text() + ">odd\nACGT\nAC\nACGT\n")
    genome = pack(genome) if packed else genome
    with pytest.raises(DnapairError) as caught:
        open_genome(genome)
    message = str(caught.value)
    assert message.startswith(f"{genome}, line 10: it is not as long as the lines of its record above it.")
    command = message.partition("will do: ")[2].partition(", and name")[0]
    subprocess.run(["sh", "-ec", command], cwd=tmp_path, check=True)
    mended = open_genome(tmp_path / "new_genome.fa")
    assert mended.fetch("odd", 0, 10) == "ACGTACACGT"
    assert mended.fetch("chr1", 0, 25) == CHROMOSOMES["chr1"].upper()


@pytest.mark.parametrize("packed", [False, True])
def test_a_second_record_of_one_name_is_told_with_a_command_that_leaves_it_out(tmp_path, packed):
    genome = write_fasta(tmp_path / "my g.fa", CHROMOSOMES)
    genome.write_text(genome.read_text() + ">chr1 patch\nTTTT\n>chr9 > chr1\nGG\n")
    genome = pack(genome) if packed else genome
    with pytest.raises(DnapairError) as caught:
        open_genome(genome)
    message = str(caught.value)
    assert message.startswith(f"{genome}, line 8: this record is called 'chr1', as that of line 1, so")
    command = message.partition("name's first: ")[2].partition(", and name")[0]
    subprocess.run(["sh", "-ec", command], cwd=tmp_path, check=True)
    mended = open_genome(tmp_path / "new_my g.fa")
    assert mended.lengths == {name: len(sequence) for name, sequence in CHROMOSOMES.items()} | {"chr9": 2}
    assert mended.fetch("chr1", 2, 6) == CHROMOSOMES["chr1"][2:6].upper()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not there"),
        (b"", "neither FASTA nor 2bit"),
        (b"hello", "neither FASTA nor 2bit"),
        (b"\x1f\x8b", "packed by gzip"),
        (b">a\n", "a record without bases"),
    ],
)
def test_what_is_no_genome_is_said(tmp_path, content, words):
    if content is not None:
        (tmp_path / "g").write_bytes(content)
    with pytest.raises(DnapairError, match=words):
        open_genome(tmp_path / "g")


@pytest.mark.parametrize("write", [write_2bit, write_bgzip])
@given(data=st.data())
def test_a_damaged_genome_is_an_error_and_never_a_crash(tmp_path_factory, write, data):
    path = write(tmp_path_factory.mktemp("genome") / "genome", CHROMOSOMES)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    # whatever is not told of is read
    with suppress(DnapairError):
        genome = open_genome(path)
        for name, length in genome.lengths.items():
            genome.fetch(name, 0, min(length, 10**6))

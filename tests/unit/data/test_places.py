import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnapair.data.columns import ColumnNames
from dnapair.data.dataset import Reading
from dnapair.data.raw_files import find_files
from dnapair.data.sequences import reverse_complement
from tests.unit.data.genome_writing import write_2bit, write_fasta
from tests.unit.data.reading import FASTA, as_read, extra, message_of, read

CHROMOSOMES = {
    name: "".join(np.random.default_rng(seed).choice(list("ACGTacgt"), 400))
    for seed, name in enumerate(["chr1", "chr2", "chrX"])
}
HEADER = "chrom1\tstart1\tend1\tchrom2\tstart2\tend2\tname\tscore\tstrand1\tstrand2\tlabel\n"
ROWS = "chr1\t10\t40\tchr2\t0\t20\tp1\t7\t+\t-\t1\nchrX\t390\t400\tchr1\t100\t131\tp2\t9\t.\t+\t0\n"


def bases(chromosome, start, end, strand="+"):
    forward = CHROMOSOMES[chromosome][start:end].upper()
    return reverse_complement(forward) if strand == "-" else forward


EXPECTED = [
    (bases("chr1", 10, 40), bases("chr2", 0, 20, "-"), 1),
    (bases("chrX", 390, 400), bases("chr1", 100, 131), 0),
]


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return write_fasta(tmp_path_factory.mktemp("genome") / "g.fa", CHROMOSOMES)


@pytest.fixture(scope="module")
def cut(genome):
    return Reading(genome=genome)


def without(text, *columns):
    rows = [line.split("\t") for line in text.splitlines()]
    return "".join("\t".join(row[n] for n in range(len(row)) if n not in columns) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pairs__bedpe", HEADER + ROWS),
        ("pairs__bedpe", "#" + HEADER + ROWS),
        ("pairs__bedpe", ROWS),
        ("pairs__tsv", ROWS),
        ("pairs__csv", (HEADER + ROWS).replace("\t", ",")),
        ("pairs__tsv", HEADER.replace("chrom", "chr").replace("end", "stop") + ROWS),
        ("pairs__tsv", "#chr1\tx1\tx2\tchr2\ty1\ty2\tname\tscore\tstrand1\tstrand2\tlabel\n" + ROWS),
        ("pairs__tsv", HEADER.replace("chrom1", "Chrom_A").replace("1", "_A").replace("2", "_B") + ROWS),
    ],
)
def test_bedpe_in_every_dress(tmp_path, cut, name, text):
    dataset = read(tmp_path, cut, **{name: text})
    assert as_read(dataset) == EXPECTED
    assert (extra(dataset, "chrom1"), extra(dataset, "chrom2")) == (["chr1", "chrX"], ["chr2", "chr1"])
    assert extra(dataset, "score") == ["7", "9"]


def test_bedpe_without_strands_is_the_forward_strand_and_the_seventh_of_seven_columns_the_label(
    tmp_path, cut
):
    forward = [(bases("chr1", 10, 40), bases("chr2", 0, 20), 1), EXPECTED[1]]
    assert as_read(read(tmp_path, cut, pairs__bedpe=without(ROWS, 6, 7, 8, 9))) == forward
    assert as_read(read(tmp_path, cut, pairs__bedpe=without(HEADER + ROWS, 8, 9))) == forward


def test_bedpe_whose_label_is_its_score(tmp_path, cut):
    text = without(ROWS, 10).replace("\t7\t", "\t1\t").replace("\t9\t", "\t0\t")
    message = message_of(tmp_path, cut, pairs__bedpe=text)
    assert "pairs.bedpe has 10 columns and no header line" in message
    reading = cut._replace(columns=ColumnNames(label="score"))
    assert as_read(read(tmp_path, reading, pairs__bedpe=text)) == EXPECTED


def test_parquet_with_numbers_and_nulls(tmp_path, cut):
    table = pd.read_csv(io.StringIO(HEADER + ROWS), sep="\t").astype({"start1": float})
    buffer = io.BytesIO()
    table.assign(strand1=[None, "+"]).to_parquet(buffer)
    assert as_read(read(tmp_path, cut, pairs__parquet=buffer.getvalue())) == EXPECTED


REGIONS = "chr1:10-40(+),chr2:0-20(-),1\nchrX:390-400,chr1:100-131(.),0\n"


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        (REGIONS, ColumnNames()),
        ("enhancer,promoter,label\n" + REGIONS, ColumnNames()),
        ("seq1,seq2,label\n" + REGIONS, ColumnNames()),
        ("id1,id2,label\n" + REGIONS, ColumnNames(id1="id1", id2="id2")),
        ("seq1,seq2,label\n" + REGIONS, ColumnNames(seq1="seq1", seq2="seq2", label="label")),
    ],
)
def test_two_columns_of_places_as_bedtools_writes_them(tmp_path, cut, text, columns):
    # records that are called so lie beside the table, and are not read
    dataset = read(tmp_path, cut._replace(columns=columns), pairs__csv=text, s__fa=FASTA)
    assert as_read(dataset) == EXPECTED
    assert (extra(dataset, "chrom1"), extra(dataset, "chrom2")) == (["chr1", "chrX"], ["chr2", "chr1"])


def test_three_columns_of_places_ask_for_a_setting_that_helps(tmp_path, cut):
    text = "a,b,c,label\n" + REGIONS.replace("chr1:100", "chr2:1-3,chr1:100").replace(
        "chr2:0", "chr1:7-9,chr2:0"
    )
    message = message_of(tmp_path, cut, pairs__csv=text)
    assert "3 columns hold places, and two can be of the pair: a, b, c" in message
    assert "data.columns.seq1 and seq2" in message
    reading = cut._replace(columns=ColumnNames(seq1="a", seq2="c"))
    assert as_read(read(tmp_path, reading, pairs__csv=text)) == EXPECTED


def test_a_2bit_genome_gives_the_same(tmp_path, cut):
    path = write_2bit(tmp_path / "genome.2bit", CHROMOSOMES)
    folder = tmp_path / "data"
    folder.mkdir()
    assert as_read(read(folder, cut._replace(genome=path), pairs__bedpe=ROWS)) == EXPECTED


def test_chromosomes_with_and_without_chr_are_one_and_groups_have_the_genomes_name(tmp_path, cut):
    dataset = read(tmp_path, cut, pairs__bedpe=HEADER + ROWS.replace("chr1", "1"))
    assert as_read(dataset) == EXPECTED
    assert (extra(dataset, "chrom1"), extra(dataset, "chrom2")) == (["chr1", "chrX"], ["chr2", "chr1"])
    assert dataset.counts["genome"] == {"file": "g.fa", "renamed": {"1": "chr1"}}
    numbered = write_fasta(tmp_path / "n.fna", {name[3:]: bases for name, bases in CHROMOSOMES.items()})
    folder = tmp_path / "data"
    folder.mkdir()
    dataset = read(folder, cut._replace(genome=numbered), pairs__bedpe=ROWS)
    assert as_read(dataset) == EXPECTED
    assert extra(dataset, "chrom1") == ["1", "X"]


@pytest.mark.parametrize(
    ("start", "end", "width", "window"),
    [
        (100, 110, 4, (103, 107)),
        (100, 111, 5, (103, 108)),
        (100, 111, 4, (103, 107)),
        (100, 110, 5, (102, 107)),
        (100, 101, 40, (80, 120)),
        (0, 40, 40, (0, 40)),
        (390, 400, 10, (390, 400)),
    ],
)
def test_windows_of_one_width_round_the_centre(tmp_path, cut, start, end, width, window):
    text = (
        HEADER
        + f"chr1\t{start}\t{end}\tchr2\t{start}\t{end}\tp\t0\t+\t-\t1\n"
        + ("chr1\t200\t201\tchr1\t200\t201\tp\t0\t+\t+\t0\n")
    )
    dataset = read(tmp_path, cut._replace(width=width), pairs__bedpe=text)
    assert as_read(dataset)[0] == (bases("chr1", *window), bases("chr2", *window, "-"), 1)


FAULTS = {
    "chr1\t50\t50": "chr1:50-50: the end is not after the start",
    "chr1\t50\t40": "chr1:50-40: the end is not after the start",
    "chr1\tx\t40": "chr1:x-40: start and end must be whole numbers from 0",
    "chr1\t-1\t40": "chr1:-1-40: start and end must be whole numbers from 0",
    "chr1\t1.5\t40": "chr1:1.5-40: start and end must be whole numbers from 0",
    "chr1\t\t": "start and end must be whole numbers from 0",
    "chr9\t50\t60": "chr9:50-60: the genome has no chromosome 'chr9'",
    "chrM\t50\t60": "the genome has no chromosome 'chrM'",
    "chr2\t390\t401": "chr2:390-401: it is not all in chr2, which has 400 bases",
    "chr2\t99999999999999999999\t999999999999999999999": "must be whole numbers",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_place_that_is_none_is_told_with_its_line(tmp_path, cut, fault):
    text = HEADER + ROWS + ROWS.replace("chr1\t100\t131", fault)
    message = message_of(tmp_path, cut, pairs__bedpe=text)
    assert message.startswith("1 place(s) are not in ")
    assert f"pairs.bedpe, line 5, place 2: {FAULTS[fault]}" in message or (
        "pairs.bedpe, line 5, place 2: " in message and FAULTS[fault] in message
    )
    assert "Places count from 0, and the end is not included" in message
    assert "Chromosomes of" in message
    assert "chr1, chr2, chrX." in message


def test_a_strand_that_is_none(tmp_path, cut):
    message = message_of(tmp_path, cut, pairs__bedpe=HEADER + ROWS.replace("\t+\t-", "\t+\tminus"))
    assert "line 2, place 2: chr2:0-20: strand 'minus' is neither + nor -" in message


def test_places_of_a_genome_browser_which_count_from_1_are_not_taken_for_others(tmp_path, cut):
    text = "a,b,label\n" + 40 * REGIONS + '"chr1:1,000-2,000",chr1:5-9(*),1\n'
    message = message_of(tmp_path, cut, pairs__csv=text)
    assert message.startswith("2 place(s)")
    assert "line 82, place 1: 'chr1:1,000-2,000' is no place such as chr1:100-200(+)" in message
    assert "line 82, place 2: chr1:5-9: strand '*' is neither + nor -" in message


def test_a_window_off_the_chromosomes_end(tmp_path, cut):
    message = message_of(tmp_path, cut._replace(width=50), pairs__bedpe=ROWS)
    assert message.startswith("2 place(s)")
    assert (
        "line 1, place 2: chr2:0-20: the 50 bases round its centre, -15 to 35, are not all in chr2" in message
    )
    assert "line 2, place 1: chrX:390-400: the 50 bases round its centre, 370 to 420, are not all" in message
    assert "a smaller width (data.width)" in message


def test_faults_are_counted_and_the_first_five_shown(tmp_path, cut):
    message = message_of(tmp_path, cut, pairs__bedpe=HEADER + ROWS + 9 * ROWS.replace("chr1", "chr7"))
    assert message.startswith("18 place(s)")
    assert "... and 13 more" in message


@pytest.mark.parametrize(
    "text", [HEADER + ROWS, ROWS, REGIONS, "id1,id2,label\n" + REGIONS, "x,y,label\n" + REGIONS]
)
@pytest.mark.parametrize("fasta", [False, True])
def test_places_without_a_genome_ask_for_it(tmp_path, text, fasta):
    files = {"s__fa": FASTA} if fasta else {}
    message = message_of(tmp_path, pairs__bedpe=text, **files)
    assert message == (
        "pairs.bedpe has places in place of sequences: name their genome, FASTA or 2bit, in data.genome."
    )


def test_records_that_are_called_by_their_places_are_ids_as_before(tmp_path):
    fasta = f">chr1:10-40(+)\n{EXPECTED[0][0]}\n>chr2:0-20(-)\n{EXPECTED[0][1]}\n>chrX:1-3\nACG\n"
    text = "id1,id2,label\nchr1:10-40(+),chr2:0-20(-),1\nchr1:10-40(+),chrX:1-3,0\n"
    assert as_read(read(tmp_path, pairs__csv=text, s__fa=fasta))[0] == EXPECTED[0]


def test_sequences_beside_bedpe_are_read_where_no_genome_is_named(tmp_path):
    text = without(HEADER, 10).replace("\n", "\tseq1\tseq2\tlabel\n") + "".join(
        without(row, 10).replace("\n", f"\tACGTACGT\tGGGTTT{letter}\t{letter == 'A':d}\n")
        for row, letter in zip(ROWS.splitlines(), "AC", strict=True)
    )
    assert as_read(read(tmp_path, pairs__tsv=text)) == [
        ("ACGTACGT", "GGGTTTA", 1),
        ("ACGTACGT", "GGGTTTC", 0),
    ]


def test_a_genome_and_a_table_without_places(tmp_path, cut):
    message = message_of(tmp_path, cut, pairs__csv="seq1,seq2,label\nACGTAC,GGGTTT,1\n")
    assert message.startswith("pairs.csv has no places, but a genome is named")
    assert "name no genome (data.genome: null)" in message


def test_letters_outside_acgt_in_the_genome_are_told_with_the_line_of_the_pair(tmp_path):
    genome = write_fasta(tmp_path / "n.fna", {"chr1": "ACGTNNNNACGTACGT"})
    folder = tmp_path / "data"
    folder.mkdir()
    reading = Reading(genome=genome)
    text = "chr1:0-4,chr1:8-12,1\nchr1:2-6,chr1:8-14,0\nchr1:8-14,chr1:10-16,0\n"
    assert "pairs.csv, line 2, first sequence: 'N' at position 3" in message_of(
        folder, reading, pairs__csv=text
    )
    kept = read(folder, reading._replace(ambiguous="drop"), pairs__csv=text)
    assert kept.counts["pairs"]["dropped_ambiguous"] == 1


def test_the_extras_of_tables_with_and_without_a_fault_agree_over_many_tables(tmp_path, cut):
    dataset = read(
        tmp_path,
        cut,
        a__bedpe=HEADER + ROWS,
        b__csv="x,y,label,cell\n" + REGIONS.replace(",1", ",1,k").replace(",0", ",0,l"),
    )
    assert len(dataset.pairs) == 2
    assert extra(dataset, "chrom2") == ["chr2", "chr1"]
    assert dataset.counts["pairs"]["dropped_duplicate"] == 2


# so long that no two places are the same sequence
places = st.tuples(
    st.sampled_from(list(CHROMOSOMES)), st.integers(0, 370), st.integers(30, 400), st.sampled_from("+-")
).filter(lambda place: place[1] + 30 <= place[2])


@given(pairs=st.lists(st.tuples(places, places), min_size=2, max_size=20, unique=True))
def test_both_ways_to_write_places_give_the_genomes_bases(tmp_path_factory, genome, pairs):
    folder = tmp_path_factory.mktemp("data")
    labels = [number % 2 for number in range(len(pairs))]
    bedpe = "".join(
        "\t".join(map(str, (*a[:3], *b[:3], "p", "0", a[3], b[3], label))) + "\n"
        for (a, b), label in zip(pairs, labels, strict=True)
    )
    regions = "".join(
        f"{a[0]}:{a[1]}-{a[2]}({a[3]}),{b[0]}:{b[1]}-{b[2]}({b[3]}),{label}\n"
        for (a, b), label in zip(pairs, labels, strict=True)
    )
    expected = [(bases(*a), bases(*b), label) for (a, b), label in zip(pairs, labels, strict=True)]
    for text in (bedpe, regions):
        assert as_read(read(folder, Reading(genome=genome), pairs__bedpe=text)) == expected


def test_a_bedpe_file_is_a_pair_table(tmp_path):
    (tmp_path / "a.bedpe").write_text(ROWS)
    (tmp_path / "b.bedpe.gz").write_bytes(b"")
    assert [path.name for path in find_files(tmp_path).tables] == ["a.bedpe", "b.bedpe.gz"]

"""Files as people have them: what they hold decides how they are read, and what is not asked for spoils nothing."""

import bz2
import gzip
import io
import json
import lzma
import os
import sys
import threading
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from agd.errors import InputError
from agd.steps.data import containers
from agd.steps.data.cells import Broken
from agd.steps.data.tabular import Source, read_formulas, read_source

CSV = b"formula,Eg\nNaCl,8.5\n"
ROWS = [(2, "NaCl", "8.5")]


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def parquet_of(**columns: list[object]) -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def read(folder: Path, content: bytes | str, name: str = "table", value: str | None = "Eg", **where: str) -> Source:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_source(path, "formula", value, where)


def rows(source: Source) -> list[tuple[int, str, str | None]]:
    return [tuple(row) for row in source.rows]  # type: ignore[misc]


def refused(source: Source) -> dict[int, str]:
    return {broken.line: broken.why for broken in source.broken}


def named(value: object) -> str | None:
    """Packed bytes hold the time of day, and two workers must give a test one name."""
    return "bytes" if isinstance(value, bytes) else None


@pytest.mark.parametrize("name", ["table.csv", "TABLE.XLSX", "table.json", "table", "table.csv.gz"])
@pytest.mark.parametrize(
    "content",
    [
        CSV,
        gzip.compress(CSV),
        gzip.compress(gzip.compress(CSV)),
        gzip.compress(CSV[:8]) + gzip.compress(CSV[8:]),
        bz2.compress(CSV),
        lzma.compress(CSV),
        lzma.compress(CSV, lzma.FORMAT_ALONE),
        zipped({"a.csv": CSV}),
        zipped({"data/a.csv.gz": gzip.compress(CSV), "__MACOSX/a.csv": b"junk"}),
        gzip.compress(zipped({"a.csv": CSV})),
        CSV.decode().encode("utf-8-sig"),
        CSV.decode().encode("utf-16"),
        CSV.decode().encode("utf-16-le"),
        CSV.decode().encode("utf-16-be"),
        CSV.decode().encode("utf-32"),
        CSV.decode().encode("utf-32-be"),
        b"\xef\xbb\xbf" * 2 + CSV,
        CSV.replace(b"\n", b"\r\n"),
        CSV.replace(b"\n", b"\r"),
        b"formula,Eg\r\nNaCl,8.5",
    ],
    ids=named,
)
def test_a_file_is_told_by_its_content(tmp_path: Path, content: bytes, name: str) -> None:
    assert rows(read(tmp_path, content, name)) == ROWS


@pytest.mark.parametrize(
    "content",
    [
        '{"formula": "NaCl", "Eg": 8.5}\n',
        '\ufeff\n{"Eg": "8.5", "formula": "NaCl"}',
        '[{"formula": "NaCl", "Eg": 8.5}]',
        '[\n  {\n    "formula": "NaCl",\n    "Eg": 8.5\n  }\n]\n',
        '{\n  "formula": "NaCl",\n  "Eg": 8.5\n}\n',
    ],
    ids=named,
)
@pytest.mark.parametrize("name", ["UPPER.JSONL", "lines.json.txt", "t.csv"])
def test_json_is_told_by_its_content(tmp_path: Path, content: str, name: str) -> None:
    assert [row[1:] for row in read(tmp_path, content, name).rows] == [("NaCl", "8.5")]


def test_objects_over_several_lines_have_the_line_they_begin_on(tmp_path: Path) -> None:
    entries = [{"formula": "NaCl", "Eg": 8.5}, 7, {"formula": "KCl"}, {"formula": "LiF", "Eg": 13.6}]
    source = read(tmp_path, "\n\n" + json.dumps(entries, indent=1))
    assert rows(source) == [(4, "NaCl", "8.5"), (12, "LiF", "13.6")]
    assert refused(source) == {8: "not a JSON object", 9: "no key 'Eg': there is formula"}
    with pytest.raises(InputError, match=r"table:3: not valid JSON \(.*, column \d"):
        read(tmp_path, '[{"formula": "NaCl", "Eg": 8.5},\n\n{"formula": oops}]')
    with pytest.raises(InputError, match="never closed"):
        read(tmp_path, '[\n{"formula": "NaCl", "Eg": 8.5}\n')


def test_parquet_is_read(tmp_path: Path) -> None:
    content = parquet_of(formula=["NaCl", None, "KCl"], Eg=[8.5, 1.0, None], icsd=[True, True, False])
    source = read(tmp_path, content, "t.csv")
    assert rows(source) == [(1, "NaCl", "8.5"), (2, "", "1.0"), (3, "KCl", "")]
    assert rows(read(tmp_path, content, "t.csv", icsd="false")) == [(3, "KCl", "")]
    with pytest.raises(InputError, match="no column 'Eg': did you mean 'eg'"):
        read(tmp_path, parquet_of(formula=["NaCl"], eg=[1.0]))
    with pytest.raises(InputError, match="not a whole Parquet file"):
        read(tmp_path, b"PAR1" + content[200:])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped({"xl/workbook.xml": b"", "[Content_Types].xml": b""}), "Excel workbook: save the sheet as CSV"),
        (
            zipped({"mimetype": b"application/vnd.oasis.opendocument.spreadsheet"}),
            "OpenDocument file .*: save the sheet",
        ),
        (zipped({"a.npy": b"", "b.npy": b""}), "file of NumPy arrays"),
        (zipped({"a.csv": CSV, "b.csv": CSV}), r"zip archive of 2 files \(a.csv, b.csv\): unpack the one you mean"),
        (zipped({}), "zip archive of no file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(90), "old Excel workbook .*: save the sheet as CSV"),
        (b"%PDF-1.7\n", "is a PDF"),
        (b"SQLite format 3\x00" + bytes(90), "SQLite database"),
        (b"\x93NUMPY\x01\x00", "NumPy array"),
        (b"\x28\xb5\x2f\xfd\x04", "packed by zstd: unpack it"),
        (b"<!DOCTYPE html>\n<html>", "page of HTML"),
        (b"\n<html><body>404</body></html>", "page of HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of Git LFS, .*: run `git lfs pull`"),
        (b"\x80\x04\x95", "pickle of Python"),
        (b"t.csv" + bytes(252) + b"ustar\x00", "tar archive"),
        (gzip.compress(b"%PDF-1.7\n"), "is a PDF"),
        (gzip.compress(CSV)[:-9], "not a whole gzip file"),
        (bz2.compress(CSV)[:-9], "not a whole bzip2 file"),
        (lzma.compress(CSV)[:-9], "not a whole xz file"),
        (zipped({"a.csv": CSV})[:-9], "not a whole zip file"),
        (zipped({"a.csv": CSV}).replace(b"NaCl", b"NaBr"), "not a whole zip file"),
        ("formula,Eg\nNaCl,8.5\n".encode("utf-16")[:-1], "not whole UTF-16 text"),
        (b"", "is empty"),
        (b"\xef\xbb\xbf\n \n", "is empty"),
        (b"# only\n# comments\n", "holds comments alone"),
        (b"\x00" * 50, "null characters"),
        (b"formula Eg\nNaCl 8.5\n", "separated by spaces"),
        (b"formula:Eg\nNaCl:8.5\n", "table:1: the columns are separated by ':'"),
        (b"Eg^formula\n8.5^NaCl\n", r"table:1: the columns are separated by '\^'"),
        (b"NaCl,8.5\nKCl,8.4\n", "table:1: the first line must name the columns"),
        (b"Gaps of salts\n\nformula,Eg\nNaCl,8.5\n", "the columns stand on line 3: delete the lines before it"),
        (b"% gaps\nformula;Eg\nNaCl;8.5\n", "the columns stand on line 2: .* or begin them with #"),
        (b"<table>\n<tr><td>formula</td></tr>", "page of HTML"),
        (b"<rows><row/></rows>", "page of HTML or XML"),
        (b"formula,gap\xe9\nNaCl,8.5\n", r"table:1: byte 0xe9 is not UTF-8 .*: save the file as UTF-8"),
    ],
    ids=named,
)
def test_what_cannot_be_read_is_named_with_the_cure(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read(tmp_path, content)
    assert len(str(caught.value)) < 500


def test_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        read_source(tmp_path, "formula", None)
    with pytest.raises(InputError, match="no such file"):
        read_source(tmp_path / "t.csv", "formula", None)
    for stdin, words in ((None, "standard input is closed"), (io.TextIOWrapper(io.BytesIO()), "-: is empty")):
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(InputError, match=words):
            read_source(Path("-"), "formula", None)
    leader, terminal = os.openpty()
    with open(terminal) as stdin, open(leader):  # noqa: PTH123  they are descriptors
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(InputError, match="standard input is a terminal"):
            read_source(Path("/dev/stdin"), "formula", None)


def test_a_pipe_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[gzip.compress(CSV)])
    writer.start()
    source = read_source(tmp_path / "pipe", "formula", "Eg")
    writer.join()
    assert rows(source) == ROWS


def test_a_file_that_changes_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(CSV)

    def write() -> None:
        with containers.opened(path) as file:
            list(file.lines())
            path.write_bytes(CSV + CSV)

    with pytest.raises(InputError, match="was written to while it was read"):
        write()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("formula;Eg\nNaCl;8.5\n", ROWS),
        ("formula\tEg\nNaCl\t8.5\n", ROWS),
        ("formula|Eg\nNaCl|8.5\n", ROWS),
        ("sep=;\r\nformula;Eg\r\nNaCl;8,5\r\n", [(3, "NaCl", "8.5")]),
        ('"sep=,"\nformula,Eg\nNaCl,8.5\n', [(3, "NaCl", "8.5")]),
        ("sep=^\nformula^Eg\nNaCl^8.5\n", [(3, "NaCl", "8.5")]),
        ("sep=\t\nformula\tEg\nNaCl\t8.5\n", [(3, "NaCl", "8.5")]),
        ("formula;Eg\nNaCl;8,5\nLiF;13\n", [(2, "NaCl", "8.5"), (3, "LiF", "13")]),
        ("formula\tEg\nNaCl\t8,5e0\n", [(2, "NaCl", "8.5e0")]),
        ("# source: my lab, 2026\n\n# more\nformula,Eg\nNaCl,8.5\n", [(5, "NaCl", "8.5")]),
        ("# formula,Eg\nNaCl,8.5\n", ROWS),
        ("#formula;Eg\nNaCl;8.5\n", ROWS),
        ("#id,formula,Eg\n1,NaCl,8.5\n", ROWS),
        ("\n\nformula,Eg\n\nNaCl,8.5\n  \n", [(5, "NaCl", "8.5")]),
        ("formula,Eg,\nNaCl,8.5,\nKCl,8\nKBr,7,a note\n", [*ROWS, (3, "KCl", "8"), (4, "KBr", "7")]),
        ("formula,Eg\nNaCl,8.5,,\n,\n", ROWS),
        ('"formula", Eg \nNaCl,8.5\n', ROWS),
        ('formula, "Eg"\nNaCl, "8.5"\n', ROWS),
        ('id,"a\nname",formula,Eg\n1,2,NaCl,8.5\n', [(3, "NaCl", "8.5")]),
        ('note,formula,Eg\n"a\nb",NaCl,8.5\nc,KCl,8\n', [(2, "NaCl", "8.5"), (4, "KCl", "8")]),
        ("a;b,formula,Eg\n1;2;3,NaCl,8.5\n", ROWS),
        ("a|b\t,formula,Eg\n1\t2,NaCl,8.5\n", ROWS),
        ("{id},formula,Eg\n1,NaCl,8.5\n", ROWS),
        ("[id],formula,Eg\n1,NaCl,8.5\n", ROWS),
        ("formula,Eg\r\nNaCl,8.5\nKCl,8\rKBr,7\r\n", [*ROWS, (3, "KCl", "8"), (4, "KBr", "7")]),
    ],
    ids=named,
)
def test_separators_comments_and_blanks(tmp_path: Path, content: str, expected: list[object]) -> None:
    source = read(tmp_path, content)
    assert (rows(source), source.broken) == (expected, [])


@pytest.mark.parametrize(
    ("content", "kept", "lines"),
    [
        ('formula,Eg\nNaCl,"8,5"\nKCl,8.1\n', ["8.1"], {2: "has a decimal or a thousands comma"}),
        ("formula;Eg\nNaCl;8,5\nKCl;8.1\n", ["8.1"], {2: "has a decimal or a thousands comma"}),
        ("formula;Eg\nNaCl;1,234\nKCl;5\n", ["5"], {2: "has a decimal or a thousands comma"}),
        ("formula;Eg\nNaCl;8,5\nKCl;1.234\n", ["8.5"], {3: "has a point where the column has decimal commas"}),
        ("formula;Eg\nNaCl;8,5\nKCl;1.234,5\n", ["8.5"], {3: "has a point where the column has decimal commas"}),
        ('formula,Eg\nNaCl,"1,234.5"\nKCl,8\n', ["8"], {2: "has a decimal or a thousands comma"}),
        ('{"formula": "NaCl", "Eg": "8,5"}\n{"formula": "KCl", "Eg": 8}\n', ["8"], {1: "has a decimal or a thousands"}),
        ("formula,Eg\nNaCl,8,5\nKCl,8\n", ["8"], {2: "3 fields where the header has 2"}),
    ],
    ids=named,
)
def test_a_comma_in_a_number_is_never_guessed(
    tmp_path: Path, content: str, kept: list[str], lines: dict[int, str]
) -> None:
    source = read(tmp_path, content)
    assert [row.value for row in source.rows] == kept
    assert {line: why for line, why in refused(source).items() if lines[line] in why} == refused(source)
    assert refused(source).keys() == lines.keys()


def test_how_a_table_was_understood_is_said(tmp_path: Path) -> None:
    assert read(tmp_path, CSV).read_as is None
    assert read(tmp_path, "formula\tEg\nNaCl\t8.5\n").read_as == "columns separated by tabs"
    told = read(tmp_path, "formula;Eg\nNaCl;8,5\n").read_as
    assert told == "columns separated by semicolons with decimal commas"


def test_names_that_look_the_same_are_the_same(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "Bandlücke")
        other = unicodedata.normalize("NFD" if form == "NFC" else "NFC", "Bandlücke")
        for content in (f"formula,{name}\nNaCl,8.5\n", json.dumps({"formula": "NaCl", name: 8.5})):
            assert read(tmp_path, content, value=other).rows[0].value == "8.5"
            assert read(tmp_path, content, value=None, **{other: "8.5"}).rows[0].formula == "NaCl"
    both = {unicodedata.normalize(form, "ü"): 1 for form in ("NFC", "NFD")}
    assert "stands twice" in read(tmp_path, json.dumps({"formula": "NaCl", **both}), value="ü").broken[0].why


DEEP = "[" * 100_000 + "]" * 100_000
UNWANTED: dict[str, Callable[[str], str]] = {
    "digits": lambda _: "7" * 5000,
    "exponent": lambda _: "1e400",
    "constant": lambda _: "NaN",
    "half a character": lambda _: r'"\ud800"',
    "null character": lambda _: r'"\u0000"',
    "control character": lambda _: '"a\tb"',
    "object": lambda _: '{"a": {"a": 1, "a": 2}}',
    "list": lambda _: "[[1, 2], []]",
    "long": lambda _: '"' + "x" * 300_000 + '"',
    "twice": lambda _: '1, "note": 2',
}


@pytest.mark.parametrize("kind", UNWANTED)
def test_what_is_not_asked_for_spoils_no_line_of_json(tmp_path: Path, kind: str) -> None:
    line = f'{{"formula": "NaCl", "note": {UNWANTED[kind]("")}, "Eg": 8.5}}'
    assert read(tmp_path, line).rows[0][1:] == ("NaCl", "8.5")
    assert read(tmp_path, f"[{line}]").rows[0][1:] == ("NaCl", "8.5")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f'{{"formula": "KCl", "note": {DEEP}, "Eg": 8.5}}', "nested too deeply to be read"),
        ('{"formula": "KCl", "Eg": 8.5, "Eg": 8.1}', "key 'Eg' stands twice: which one counts?"),
        ('{"formula": "KCl", "Eg": 8.5, "formula": "KBr"}', "key 'formula' stands twice: which one counts?"),
        ('{"formula": "KCl", "Eg": 8.5, "Eg ": 8.1}', "key 'Eg' stands twice: which one counts?"),
        ('{"formula": {"K": 1}, "Eg": 8.5}', "key 'formula' holds an object, not one value"),
        ('{"formula": "KCl", "Eg": [8.5]}', "key 'Eg' holds a list, not one value"),
        ('{"formula": "KCl"', "not valid JSON (Expecting ',' delimiter, column 18)"),
        ('{"formula": "KCl", "Eg": 1}, ', "not valid JSON (Extra data, column 28)"),
        (f'{{"formula": "{"x" * 4_000_000}", "Eg": 8.5}}', "'formula' has 4,000,000 characters, 1,000 at most"),
    ],
    ids=named,
)
def test_a_line_of_json_that_is_no_row(tmp_path: Path, line: str, why: str) -> None:
    source = read(tmp_path, f'{line}\n{{"formula": "NaCl", "Eg": 8.5}}\n{line}\n')
    assert rows(source) == ROWS
    assert refused(source) == {1: why, 3: why}
    assert all(len(broken.text) < 300 for broken in source.broken)


def test_conditions_count_as_asked_for(tmp_path: Path) -> None:
    source = read(tmp_path, '{"formula": "NaCl", "Eg": 1, "a": 1, "a": 2}\n{"formula": "KCl", "Eg": 2, "a": 1}', a="1")
    assert (rows(source), list(refused(source))) == ([(2, "KCl", "2")], [1])
    with pytest.raises(InputError, match="column 'a' stands twice in the header"):
        read(tmp_path, "formula,Eg,a,a\nNaCl,1,1,2\n", a="1")


def test_numbers_of_json_stay_as_they_are_written(tmp_path: Path) -> None:
    lines = "\n".join(f'{{"formula": "NaCl", "Eg": {n}}}' for n in ("8.50", "1e400", "-0", "NaN", "7" * 500, "true"))
    assert [row.value for row in read(tmp_path, lines).rows] == ["8.50", "1e400", "-0", "NaN", "7" * 500, "true"]


@pytest.mark.parametrize("cell", ["x" * 300_000, "a\x00b", "caf\udce9", "a\nb\n", "1;2;3", "#", "{", "é" * 9])
def test_what_is_not_asked_for_spoils_no_row(tmp_path: Path, cell: str) -> None:
    text = f'formula,note,Eg,note\n"NaCl","{cell}",8.5,\nKCl,,8.1,\n'
    source = read(tmp_path, text.encode("utf-8", "surrogateescape"))
    assert [row.formula for row in source.rows] == ["NaCl", "KCl"]
    assert source.rows[1].line == 3 + cell.count("\n")


def test_a_byte_of_another_encoding_in_what_is_asked_for(tmp_path: Path) -> None:
    for content in (b"formula,Eg\nKCl,1\nNa\xb7Cl,1\n", b'{"formula": "KCl", "Eg": 1}\n\n{"formula": "Na\xb7Cl"'):
        source = content.replace(b'Cl"', b'Cl", "Eg": 1}') if content.startswith(b"{") else content
        with pytest.raises(InputError, match=r"table:3: byte 0xb7 is not UTF-8 \(Latin-1, or an old Windows file\?\)"):
            read(tmp_path, source)


def test_quotation_marks_that_do_not_match(tmp_path: Path) -> None:
    source = read(tmp_path, 'formula,Eg,note\nNaCl,8.5,"a" b\nKCl,8.1,"c"\nKBr,7,5" pipe\n')
    assert [row.formula for row in source.rows] == ["KCl", "KBr"]
    assert list(refused(source)) == [2]
    with pytest.raises(
        InputError, match=r"table:3: not valid CSV: a quotation mark opens a cell on this line and none"
    ):
        read(tmp_path, 'formula,Eg,note\nNaCl,8.5,\nKCl,8.1,"c\nKBr,7,\n')
    with pytest.raises(InputError, match=r"table:2: not valid CSV from here to line 3"):
        read(tmp_path, 'formula,Eg,note\nNaCl,8.5,"a\nKCl,8.1,"c"\n')


def test_a_header_of_very_many_columns(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(100_000)]
    content = ",".join(["formula", *names, "Eg"]) + "\nNaCl" + "," * 100_000 + ",8.5\n"
    assert rows(read(tmp_path, content)) == ROWS
    with pytest.raises(InputError, match=r"no column 'gap': there is formula, c0, .* and 99,982 more") as caught:
        read(tmp_path, content, value="gap")
    assert len(str(caught.value)) < 400


def test_what_unpacks_without_end_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MAX_LINE", 2**20)
    with pytest.raises(InputError, match="table:2: a line of more than 1,048,576 characters"):
        read(tmp_path, gzip.compress(b"formula,Eg\n" + b"0" * 2**24))
    monkeypatch.setattr(containers, "_BOMB_BYTES", 2**22)
    with pytest.raises(InputError, match="unpacks to more than 200 times its size"):
        read(tmp_path, gzip.compress(b"formula,Eg\n" + b"NaCl,1\n" * 2**21))
    five = CSV
    for _ in range(5):
        five = gzip.compress(five)
    with pytest.raises(InputError, match="packed more than 4 times"):
        read(tmp_path, five)


def test_a_list_of_formulas_bears_no_broken_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id;formula\n1;NaCl\n2;KCl;3\n")
    with pytest.raises(InputError, match=r"t.csv:3: 3 fields where the header has 2"):
        read_formulas(tmp_path / "t.csv", "formula")
    assert Broken(3, "", "").kind == "broken row"

"""The dialect of a label file: names in a header decide, else the cells that name pictures; else it is refused."""

import pytest

from sharding.errors import SourceError
from sharding.layouts.dialect import find_dialect
from sharding.layouts.find import find_source

PAIRS = [("a.png", "uno"), ("b.png", "due"), ("c d.png", "tre tre"), ("e.png", "quattro")]


@pytest.fixture
def rows(write):
    """rows(content, name): (path, label, subset, split) of each entry of a source with this label file."""

    def read_rows(content: str | bytes, name: str = "labels.csv") -> list[tuple]:
        entries = find_source(write({name: content})).entries()
        return [(e.path.decode(), e.label and e.label.decode(), e.subset, e.split or e.problem) for e in entries]

    return read_rows


@pytest.mark.parametrize(
    ("header", "row", "subset", "split"),
    [
        ("path,label", "{p},{w}", "", ""),
        ("path,split,label", "{p},train,{w}", "", "train"),
        ("label,path", "{w},{p}", "", ""),
        ("path,width,height,label", "{p},90,40,{w}", "", ""),
        ("filename, lang, text", "{p}, it, {w}", "", ""),
        ("Image Path,Transcription,Split", "{p},{w},Validation", "", "val"),
        ("subset,words,img", "wild,{w},{p}", "wild", ""),
        ("id,file_name,ground_truth", "7,{p},{w}", "", ""),
        ("path,label,split,", "{p},{w},dev,", "", "val"),
        ('"path","label","split"', '"{p}","{w}","EVAL"', "", "test"),
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_names_in_a_header_decide(rows, header, row, subset, split, separator):
    lines = [header, *(row.format(p=path, w=text) for path, text in PAIRS)]
    name = "labels.tsv" if separator == "\t" else "labels.csv"
    found = rows("\n".join(lines).replace(",", separator), name)
    assert [(path, label.strip(), *rest) for path, label, *rest in found] == [
        (path, text, subset, split) for path, text in PAIRS
    ]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("labels.csv", "{p},{w}"),
        ("labels.csv", '"{p}","{w}"'),
        ("labels.csv", "{p};{w}"),
        ("labels.csv", "{p}\t{w}"),
        ("labels.csv", "{w},{p}"),
        ("labels.tsv", "{p}\t{w}"),
        ("labels.tsv", "{p},{w}"),
        ("labels.tsv", '"{p}"\t"{w}"'),
        ("labels.tsv", "{p}    {w}"),
        ("gt.txt", "{p}\t{w}"),
        ("gt.txt", "{p} {w}"),
        ("gt.txt", "{p},{w}"),
        ("gt.txt", '{p}, "{w}"'),
        ("gt.tsv", "{p}|{w}"),
        ("rec_gt_train.txt", "{p}    {w}"),
        ("train_list.txt", "{p}\t{w}"),
        ("my words.csv", "{p},{w}"),
        ("Labels.TSV", "{p}\t{w}"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_orders_without_a_header(rows, name, line, end):
    content = end.join(line.format(p=path, w=text) for path, text in PAIRS) + end
    assert rows(content, name) == [(path, text, "", "") for path, text in PAIRS]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_of_spreadsheets(rows, encoding):
    content = "".join(f"{path}\tاُردو {text}\r\n" for path, text in PAIRS).encode(encoding)
    assert rows(content, "labels.tsv") == [(path, f"اُردو {text}", "", "") for path, text in PAIRS]


def test_a_separator_in_an_unquoted_text_spoils_that_row_alone(rows):
    found = rows('path,label\na.png,uno\nb.png,due, tre\nc.png,"due, tre"\nd.png,x\n')
    assert [row[0] for row in found] == ["a.png", "b.png", "c.png", "d.png"]
    assert found[1][1].startswith("labels.csv, line 3: 3 cells (between commas), the header has 2; put quotes")
    assert found[1][3] == "odd row"
    assert found[2] == ("c.png", "due, tre", "", "")


def test_the_empty_columns_of_a_spreadsheet_are_none_and_a_text_keeps_its_last_separator(rows):
    assert [row[1] for row in rows("path,label,,\na.png,x,,\nb.png,y\n")] == ["x", "y"]
    assert [row[1] for row in rows("a.png,x,,\nb.png,y,,\nc.png,z,,\n")] == ["x", "y", "z"]
    assert rows("path,label\na.png,x\nb.png,y,\n")[1][3] == "odd row"


def test_quotes_of_icdar(rows):
    lines = 'word_1.png, "Tiredness"\nword_2.png, "a, \\"b\\""\nword_3.png, "x"\nword_4.png, lost\n'
    found = rows(lines * 3, "gt.txt")
    assert [row[1] for row in found[:3]] == ["Tiredness", 'a, "b"', "x"]
    assert found[3][3] == "odd row"


def test_quotes_between_tabs_are_letters_but_where_a_spreadsheet_may_have_put_them(rows):
    found = rows('a.png\t"uno"\nb.png\tsay "x"\nc.png\t"say ""x"""\nd.png\t"\ne.png\ty\n', "labels.tsv")
    assert [row[1] for row in found if row[0] != "c.png"] == ['"uno"', 'say "x"', '"', "y"]
    assert "doubled quotes" in found[2][1]


@pytest.mark.parametrize(
    ("name", "lines", "sentence"),
    [
        ("labels.csv", ["path,label", "a.png,x", 'b.png,"y', "c.png,z", 'd.png,w"'], "line 3: a quote opens there, "),
        ("labels.csv", ["path,label", "a.png,x", 'b.png,"y', "c.png,z"], "line 3: a quote opens there that is never"),
        ("labels.csv", ["a.png,x", 'b.png,"y"z', "c.png,z"], "line 2: a quote opens"),
        ("labels.tsv", ["a.png\tx", 'b.png\t"two', 'lines"', "c.png\tz"], "line 2: a quote opens there, .* in line 3"),
        ("labels.tsv", ["label\tpath", '"a', 'b"\t1.png', "x\t2.png"], "line 2: a quote opens there, .* in line 3"),
        ("labels.tsv", ['1.png\t"a', "", 'b"', "2.png\tx"], "line 1: a quote opens there, .* in line 3"),
        ("labels.tsv", ['1.png\t"a', 'b\tc"', "2.png\tx"], "line 1: a quote opens there, .* in line 2"),
        ("labels.txt", ['1.png "a', 'b"', "2.png x", "3.png x", "4.png y", "5.png z"], "line 1: a quote opens there"),
        ("labels.csv", ["1.png,fo\ro", '2.png,"x"'], "line 1: a carriage return is inside the line"),
        ("labels.csv", ["filename,words", "a.png,x", 'b.png,"y', "c.png,z", 'd.png,w"'], "line 3, has quotes"),
    ],
)
def test_a_quote_that_is_not_closed_is_named_with_its_line(write, name, lines, sentence):
    with pytest.raises(SourceError, match=sentence):
        list(find_source(write({name: "\n".join(lines) + "\n"})).entries())


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["path,width"], "line 1, names the columns path, width, and none of them is a text; name that column"),
        (["path,text,label"], "each of the columns text, label may be the text; rename all of them but one"),
        (["path,image,label"], "each of the columns path, image may be the path"),
        (["image,sentence,sentence"], "each of the columns sentence, sentence may be the text"),
        (["path,split,label", "a.png,holdout,x"], "line 2: 'holdout' in the column of splits is none; write train"),
        (["a.png,train", "b.png,test"], "names of splits where the texts should be"),
        (["a.png,train,x", "b.png,test,y"], "its second cells are names of splits"),
        (["a.png,90,40,x"], "has 4 cells a line, and nothing says what they are; begin it with a header"),
        ([f"{n}.png,90,word{n}" for n in range(30)], "hold 30 different values in 30 lines"),
        (["foto,parola", *(f"{n}.png,w" for n in range(4))], "looks like a header whose names are not known"),
        ([f'{n}.png,"[{{""transcription"": ""x""}}]"' for n in range(3)], "boxes on whole pages"),
    ],
)
def test_what_is_unclear_is_refused_with_what_to_write(write, lines, sentence):
    with pytest.raises(SourceError, match=sentence):
        list(find_source(write({"labels.csv": "\n".join(lines) + "\n"})).entries())


def test_a_quotation_over_rows_is_letters(rows):
    found = rows('a.png\t"Hello, he\nb.png\tsaid to her\nc.png\tand left."\n', "labels.tsv")
    assert [row[1] for row in found] == ['"Hello, he', "said to her", 'and left."']


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("labels.csv", ["id,label,text", *(f"{n},1,go" for n in range(15))]),
        ("labels.csv", ["name,label,text", "1.png,3,stop"]),
        ("labels.csv", ["1.png,12,50", "2.png,13,20", "3.png,7,5"]),
        ("labels.csv", ["1.png,Paris, France", "2.png,Rome, Italy", "3.png,Bern, Bern"]),
        ("labels.tsv", ["1.png\tfoo\ttrain", "2.png\tbar\ttest"]),
        ("labels.tsv", [f"{n}.png\tw{n}\tsub" for n in range(2_100)] + [f"x{n}.png\tw\ttext {n}" for n in range(99)]),
    ],
)
def test_columns_that_may_be_something_else_are_refused(write, name, lines):
    with pytest.raises(SourceError, match="header|may be the text"):
        list(find_source(write({name: "\n".join(lines) + "\n"})).entries())


def test_a_column_of_names_without_another_for_the_path(rows):
    assert rows("image_id,text\na.png,x\nb.png,y\n") == [("a.png", "x", "", ""), ("b.png", "y", "", "")]
    assert rows("id,file_name,text\n7,a.png,x\n") == [("a.png", "x", "", "")]


@pytest.mark.parametrize("head", ["\n\n", "# made by hand\n", "sep=;\n"])
def test_what_stands_above_the_header_is_no_row(rows, head):
    separator = ";" if "sep" in head else ","
    content = head + "path,split,label\na.png,train,x\nb.png,test,y\n".replace(",", separator)
    assert rows(content) == [("a.png", "x", "", "train"), ("b.png", "y", "", "test")]


def test_quotes_after_a_blank_are_quotes(rows):
    assert [row[1] for row in rows('a.png, "foo"\nb.png, "b, c"\n')] == ["foo", "b, c"]
    assert [row[1] for row in rows('path, label\na.png, "foo"\n')] == ["foo"]
    late = "".join(f"{n}.png,w\n" for n in range(2_095)) + '9999.png, "w"\n'
    assert {row[1] for row in rows(late)} == {"w"}


def test_a_row_of_another_separator_is_odd(rows):
    found = rows("path;label\na.png,x\nb.png;y\n")
    assert (found[0][0], found[0][3]) == ("(line 2 of labels.csv)", "odd row")
    assert found[1] == ("b.png", "y", "", "")


def test_a_file_in_another_encoding_is_named(write):
    content = "".join(f"{n}.png\tperché\n" for n in range(20)).encode("latin-1")
    with pytest.raises(SourceError, match="is not UTF-8: 20 of its first 20 texts.*iconv"):
        list(find_source(write({"labels.tsv": content})).entries())


def test_a_pointer_of_git_lfs_is_no_label_file(write):
    with pytest.raises(SourceError, match="git lfs pull"):
        list(find_source(write({"labels.tsv": "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"})).entries())


def test_columns_that_are_not_read_are_told(write):
    source = find_source(write({"labels.csv": "path,lang,width,label\na.png,it,3,uno\n"}))
    list(source.entries())
    assert source.notes() == ["labels.csv: the columns lang, width are not read"]


def test_an_empty_file_has_the_dialect_of_its_suffix(write):
    src = write({"a.csv": "", "a.tsv": "\n"})
    assert (find_dialect(src / "a.csv").separator, find_dialect(src / "a.tsv").separator) == (b",", b"\t")

use super::*;

/// A table with a value of every kind.
fn kinds() -> Vec<Vec<Value>> {
    vec![
        vec![
            Value::Integer(i64::MIN),
            Value::Real(1.0),
            Value::Text("a,\"b\"\nc".to_owned()),
            Value::Blob(vec![10, 255]),
        ],
        vec![Value::Null, Value::Real(f64::INFINITY), Value::Text(String::new()), Value::Blob(vec![])],
        vec![Value::Integer(5), Value::Real(-1e300), Value::Text("日本".to_owned()), Value::Null],
    ]
}

#[test]
fn json_loses_nothing() {
    let names = ["i", "r", "t", "t"];
    let expected = concat!(
        r#"[{"i":-9223372036854775808,"r":1.0,"t":"a,\"b\"\nc","t_2":{"base64":"Cv8="}},"#,
        "\n",
        r#"{"i":null,"r":{"real":"Infinity"},"t":"","t_2":{"base64":""}},"#,
        "\n",
        r#"{"i":5,"r":-1e300,"t":"日本","t_2":null}]"#,
        "\n",
    );
    assert_eq!(printed(json::Json::new(&owned(&names), false), &kinds()), expected);
    assert_eq!(printed(json::Json::new(&owned(&names), true), &kinds()), expected.replace(",\n{", ",{"));
    assert_eq!(printed(json::Json::new(&owned(&names), false), &[]), "[]\n");
}

#[test]
fn json_names_are_distinct() {
    let row = vec![vec![Value::Null; 5]];
    let names = owned(&["a", "a", "a_2", "a", "a\""]);
    let expected = "[{\"a\":null,\"a_3\":null,\"a_2\":null,\"a_4\":null,\"a\\\"\":null}]\n";
    assert_eq!(printed(json::Json::new(&names, false), &row), expected);
}

#[test]
fn csv_has_quotes_where_they_are_needed() {
    let expected = concat!(
        "i,r,\"t,\",b\r\n",
        "-9223372036854775808,1.0,\"a,\"\"b\"\"\nc\",x'0aff'\r\n",
        ",Infinity,\"\",x''\r\n",
        "5,-1e300,日本,\r\n",
    );
    assert_eq!(printed(csv::Csv::new(owned(&["i", "r", "t,", "b"])), &kinds()), expected);
}

#[test]
fn line_has_a_line_a_value() {
    let rows = [vec![Value::Integer(1), Value::Null], vec![Value::Text("a\nb\u{1b}".to_owned()), Value::Real(0.1)]];
    let expected = "  a = 1\nbcd = NULL\n\n  a = a\nb\\u{1b}\nbcd = 0.1\n";
    assert_eq!(printed(line::Line::new(&owned(&["a", "bcd"])), &rows), expected);
}

#[test]
fn a_table_is_as_wide_as_its_values() {
    let expected = "\
┌──────────────────────┬──────────┬──────────┬─────────┐
│                    i │        r │ t        │ b       │
├──────────────────────┼──────────┼──────────┼─────────┤
│ -9223372036854775808 │      1.0 │ a,\"b\"\\nc │ x'0aff' │
│ NULL                 │ Infinity │          │ x''     │
│                    5 │   -1e300 │ 日本     │ NULL    │
└──────────────────────┴──────────┴──────────┴─────────┘
";
    assert_eq!(printed(table::Table::new(&owned(&["i", "r", "t", "b"]), None), &kinds()), expected);
}

#[test]
fn a_table_without_rows_has_its_header() {
    let expected = "┌───┐\n│ a │\n├───┤\n└───┘\n";
    assert_eq!(printed(table::Table::new(&owned(&["a"]), None), &[]), expected);
}

#[test]
fn a_table_fits_its_terminal() {
    let long = "long ".repeat(50_000);
    let rows: Vec<Vec<Value>> = (0..3)
        .map(|number| vec![Value::Integer(number), Value::Text(long.clone()), Value::Text("日本".repeat(50))])
        .collect();
    let actual = printed(table::Table::new(&owned(&["id", "name", "japan"]), Some(60)), &rows);
    for line in actual.lines() {
        assert_eq!(unicode_width::UnicodeWidthStr::width(line), 60, "{actual}");
    }
    assert_eq!(actual.matches('…').count(), 6, "{actual}");
}

#[test]
fn no_row_is_lost_where_a_table_stops_to_measure() {
    let mut rows: Vec<Vec<Value>> = (0..5000).map(|number| vec![Value::Integer(number)]).collect();
    rows.push(vec![Value::Text("much longer than those before".to_owned())]);
    let actual = printed(table::Table::new(&owned(&["n"]), None), &rows);
    assert_eq!(actual.lines().count(), 5001 + 4);
    assert!(actual.contains("│ 4999 │\n│ much longer than those before │\n"));
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn printed(mut printer: impl Printer, rows: &[Vec<Value>]) -> String {
    let mut output = Vec::new();
    printer.begin(&mut output).expect("begin");
    for row in rows {
        printer.row(&mut output, row).expect("row");
    }
    printer.end(&mut output).expect("end");
    String::from_utf8(output).expect("UTF-8")
}

//! Arguments as the one text that a program on Windows is given, which it takes apart again by the rules of Microsoft's C
//! runtime ("Parsing C command-line arguments"). std has them, too, but not for those who make a process without it.

use std::{ffi::OsString, io};

/// The text. The first argument is the program's path.
pub(super) fn command_line(arguments: impl Iterator<Item = OsString>) -> io::Result<String> {
    let mut line = String::new();
    for argument in arguments {
        let argument = argument.to_str().filter(|argument| !argument.contains('\0')).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{} is not Unicode text", argument.display()))
        })?;
        if !line.is_empty() {
            line.push(' ');
        }
        quote(argument, &mut line);
    }
    Ok(line)
}

fn quote(argument: &str, line: &mut String) {
    if !argument.is_empty() && !argument.contains([' ', '\t', '\n', '\x0b', '"']) {
        line.push_str(argument);
        return;
    }
    line.push('"');
    let mut backslashes = 0;
    for character in argument.chars() {
        match character {
            '\\' => backslashes += 1,
            // Before a quote, backslashes mean half as many, and one more makes the quote an ordinary character.
            '"' => {
                line.extend(std::iter::repeat_n('\\', backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        line.push(character);
    }
    line.extend(std::iter::repeat_n('\\', backslashes)); // the closing quote is one, too
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_quotes_has_them_and_nothing_else() {
        for (argument, quoted) in [
            ("app.db", "app.db"),
            (r"C:\data\app.db", r"C:\data\app.db"),
            ("", r#""""#),
            (r"C:\my data\app.db", r#""C:\my data\app.db""#),
            (r"C:\my data\", r#""C:\my data\\""#),
            (r#"say "hi""#, r#""say \"hi\"""#),
            (r#"a\"b"#, r#""a\\\"b""#),
            ("déjà vu", r#""déjà vu""#),
        ] {
            let line = command_line([OsString::from(argument)].into_iter()).expect("a line");
            assert_eq!(line, quoted, "{argument}");
        }
    }

    #[test]
    fn arguments_are_apart_and_without_nul() {
        let line = |arguments: &[&str]| command_line(arguments.iter().map(OsString::from));
        assert_eq!(line(&["a b", "", "c"]).expect("a line"), r#""a b" "" c"#);
        assert!(line(&["a\0b"]).is_err());
    }
}

//! Python's way with numbers in text: `repr` of a float, and format strings such as `{epoch:02d}-{val_loss:.2f}`.

use crate::error::{Error, Result};

/// `repr(value)`: the shortest digits that give the number back, with an exponent below 1e-4 and from 1e16 on.
pub(super) fn repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    let size = value.abs();
    match size != 0.0 && !(1e-4..1e16).contains(&size) {
        true => exponent(&format!("{value:e}"), 'e'),
        false => format!("{value:?}"),
    }
}

/// `1e-5` as Python has it, `1e-05`.
fn exponent(rust: &str, letter: char) -> String {
    let (digits, power) = rust.split_once('e').unwrap_or((rust, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let sign = if power < 0 { '-' } else { '+' };
    format!("{digits}{letter}{sign}{:02}", power.abs())
}

/// A value to be put into a template.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    Integer(i64),
    Number(f64),
}

/// `template.format(**fields)`: `{name}` and `{name:[[fill]align][sign][0][width][.precision][type]}` with the types `d`, `f`, `e`,
/// `g` and `%`; `{{` and `}}` are braces.
///
/// # Errors
/// If a name is none of `fields`, or a format is not one of these.
pub(super) fn format(template: &str, fields: &[(&str, Field)]) -> Result<String> {
    let wrong = |problem: String| Err(Error::data(template, problem));
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..at + 1];
        if rest[at + 1..].starts_with(brace) {
            out.push_str(brace);
            rest = &rest[at + 2..];
            continue;
        }
        let Some(end) = rest.find('}').filter(|end| *end > at) else {
            return wrong("a brace without its partner".into());
        };
        let inside = &rest[at + 1..end];
        let (name, spec) = inside.split_once(':').unwrap_or((inside, ""));
        let Some((_, field)) = fields.iter().find(|(n, _)| *n == name) else {
            let names = fields.iter().map(|(n, _)| n);
            return Err(Error::unknown("name in the template", name, names));
        };
        match one(*field, spec) {
            Some(text) => out.push_str(&text),
            None => return wrong(format!("`{spec}` is no format for `{name}`")),
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Widths and precisions beyond this are mistakes.
const MOST: usize = 1000;

/// A number in the format `spec`; `None` if that is not one.
fn one(field: Field, spec: &str) -> Option<String> {
    let mut spec = spec.chars().peekable();
    let mut ahead = spec.clone();
    let (first, second) = (ahead.next(), ahead.next());
    let aligns = |c: Option<char>| matches!(c, Some('<' | '>' | '^' | '='));
    let (mut fill, mut align) = (' ', '>');
    if aligns(second) {
        (fill, align) = (first?, second?);
        spec = ahead;
    } else if aligns(first) {
        align = first?;
        spec.next();
    }
    let plus = spec.next_if(|c| matches!(c, '+' | '-' | ' '));
    if spec.next_if_eq(&'0').is_some() {
        (fill, align) = ('0', '=');
    }
    let digits = |spec: &mut std::iter::Peekable<std::str::Chars<'_>>| {
        let mut n = None;
        while let Some(d) = spec.peek().and_then(|c| c.to_digit(10)) {
            n = Some(n.unwrap_or(0) * 10 + d as usize).filter(|n| *n <= MOST);
            n?;
            spec.next();
        }
        Some(n)
    };
    let width = digits(&mut spec)?.unwrap_or(0);
    let precision = match spec.next_if_eq(&'.') {
        Some(_) => Some(digits(&mut spec)??),
        None => None,
    };
    let kind = spec.next();
    if spec.next().is_some() {
        return None;
    }
    let value = match field {
        Field::Integer(n) => n as f64,
        Field::Number(x) => x,
    };
    let size = value.abs();
    let places = precision.unwrap_or(6);
    let body = match (kind, field) {
        (None | Some('d'), Field::Integer(n)) if precision.is_none() => {
            n.unsigned_abs().to_string()
        }
        (Some('d'), _) => return None,
        (Some('%'), _) => format!("{}%", plain(size * 100.0, |x| format!("{x:.places$}"))),
        (Some('f' | 'F'), _) => plain(size, |x| format!("{x:.places$}")),
        (Some(e @ ('e' | 'E')), _) => plain(size, |x| exponent(&format!("{x:.places$e}"), e)),
        (Some('g'), _) => plain(size, |x| general(x, places.max(1))),
        (None, _) => match precision {
            None => repr(size),
            Some(places) => plain(size, |x| general(x, places.max(1))),
        },
        _ => return None,
    };
    let sign = match plus {
        _ if value.is_sign_negative() && !value.is_nan() => "-",
        Some('+') => "+",
        Some(' ') => " ",
        _ => "",
    };
    let room = width.saturating_sub(sign.len() + body.chars().count());
    let pad = |n: usize| String::from_iter(std::iter::repeat_n(fill, n));
    Some(match align {
        '<' => format!("{sign}{body}{}", pad(room)),
        '^' => format!("{}{sign}{body}{}", pad(room / 2), pad(room - room / 2)),
        '=' => format!("{sign}{}{body}", pad(room)),
        _ => format!("{}{sign}{body}", pad(room)),
    })
}

/// What is not finite has no digits.
fn plain(size: f64, f: impl Fn(f64) -> String) -> String {
    match size.is_finite() {
        true => f(size),
        false => repr(size),
    }
}

/// So many significant digits, without trailing zeros.
fn general(x: f64, digits: usize) -> String {
    let scientific = format!("{:.*e}", digits - 1, x);
    let power: i32 = scientific
        .split_once('e')
        .and_then(|(_, p)| p.parse().ok())
        .unwrap_or(0);
    let trim = |s: &str| match s.contains('.') {
        true => s.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => s.to_string(),
    };
    if (-4..digits as i32).contains(&power) {
        return trim(&format!("{x:.*}", (digits as i32 - 1 - power) as usize));
    }
    let digits = scientific.split('e').next().unwrap_or_default();
    exponent(&format!("{}e{power}", trim(digits)), 'e')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_python_has_them() {
        let cases = [
            (0.1, "0.1"),
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (1e-5, "1e-05"),
            (1.25e-7, "1.25e-07"),
            (1e-4, "0.0001"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (0.693_147_182_464_599_6, "0.6931471824645996"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        cases
            .iter()
            .for_each(|(x, want)| assert_eq!(&repr(*x), want));
    }

    #[test]
    fn templates_as_python_has_them() {
        let fields = [
            ("epoch", Field::Integer(7)),
            ("val_loss", Field::Number(0.125_678)),
            ("neg", Field::Number(-1234.5)),
            ("tiny", Field::Number(1.5e-7)),
            ("nan", Field::Number(f64::NAN)),
        ];
        let cases = [
            ("{epoch:02d}-{val_loss:.2f}.keras", "07-0.13.keras"),
            ("{epoch}{{x}}", "7{x}"),
            (
                "{val_loss}|{val_loss:f}|{val_loss:.3g}",
                "0.125678|0.125678|0.126",
            ),
            (
                "{neg:10.1f}|{neg:<10.1f}|{neg:^10.1f}|{neg:010.1f}",
                "   -1234.5|-1234.5   | -1234.5  |-0001234.5",
            ),
            (
                "{neg:*=10.1f}|{epoch:+d}|{epoch: d}|{epoch:*>4}",
                "-***1234.5|+7| 7|***7",
            ),
            (
                "{tiny}|{tiny:.2e}|{tiny:g}|{neg:g}|{neg:.2}",
                "1.5e-07|1.50e-07|1.5e-07|-1234.5|-1.2e+03",
            ),
            (
                "{val_loss:.1%}|{epoch:.2f}|{epoch:e}",
                "12.6%|7.00|7.000000e+00",
            ),
            ("{nan:.2f}|{nan:06.1f}", "nan|000nan"),
            ("ä{epoch:ü>3}", "äüü7"),
        ];
        for (template, want) in cases {
            assert_eq!(format(template, &fields).unwrap(), want, "{template}");
        }
        for bad in [
            "{epoch",
            "epoch}",
            "{other}",
            "{epoch:q}",
            "{val_loss:d}",
            "{epoch:.2d}",
            "{epoch:.f}",
            "{epoch:99999d}",
            "{}",
            "}{",
        ] {
            assert!(format(bad, &fields).is_err(), "{bad}");
        }
        let e = format("{los}", &[("loss", Field::Number(0.0))]).unwrap_err();
        assert!(e.to_string().contains("did you mean `loss`"), "{e}");
    }
}

//! Patterns over the paths of variables: the part of Python's regular expressions that such patterns use.
//!
//! Letters, `.`, classes `[a-z]` and `[^/]`, `\d \w \s` and their opposites, escaped letters, groups `( )` and `(?: )`,
//! alternatives `|`, repetition `* + ?` (also lazy, which makes no difference here) and `{n,m}`, and `^` and `$`. Matching takes time
//! in proportion to the text, whatever the pattern.

use crate::error::{Error, Result};

/// A pattern, ready to be matched.
///
/// ```
/// use oxhorn::pattern::Pattern;
/// let pattern = Pattern::new(".*dense_1/.*")?;
/// assert!(pattern.matches("dense_1/kernel") && !pattern.matches("dense_2/kernel"));
/// assert!(Pattern::new("norm|bias")?.found_in("dense/bias"));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    program: Vec<Op>,
}

/// One instruction of the machine that follows all alternatives at once (Thompson, 1968).
#[derive(Clone, Debug)]
enum Op {
    /// One character of these.
    One(Set),
    /// Go on at both places.
    Fork(usize, usize),
    /// Go on there.
    Jump(usize),
    /// Only at the beginning.
    Start,
    /// Only at the end.
    End,
    /// Matched.
    Done,
}

/// A set of characters.
#[derive(Clone, Debug)]
struct Set {
    not: bool,
    ranges: Vec<(char, char)>,
}

impl Set {
    fn has(&self, c: char) -> bool {
        self.ranges.iter().any(|(a, b)| (*a..=*b).contains(&c)) != self.not
    }
}

/// What a pattern says.
#[derive(Clone, Debug)]
enum Node {
    One(Set),
    Start,
    End,
    Sequence(Vec<Node>),
    Either(Vec<Node>),
    /// At least so often, and at most so often.
    Repeat(Box<Node>, usize, Option<usize>),
}

/// Bounds on what a pattern may ask for.
const MOST_REPEATS: usize = 100;
const MOST_OPS: usize = 10_000;
const MOST_DEPTH: usize = 50;

struct Parser<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    depth: usize,
}

impl Parser<'_> {
    fn take(&mut self, c: char) -> bool {
        self.rest.next_if_eq(&c).is_some()
    }

    fn either(&mut self) -> std::result::Result<Node, String> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err("too many groups in one another".into());
        }
        let mut all = vec![self.sequence()?];
        while self.take('|') {
            all.push(self.sequence()?);
        }
        self.depth -= 1;
        Ok(match all.len() {
            1 => all.remove(0),
            _ => Node::Either(all),
        })
    }

    fn sequence(&mut self) -> std::result::Result<Node, String> {
        let mut all = Vec::new();
        while let Some(&c) = self.rest.peek() {
            if c == '|' || c == ')' {
                break;
            }
            let node = self.atom()?;
            all.push(self.repeated(node)?);
        }
        Ok(Node::Sequence(all))
    }

    fn repeated(&mut self, mut node: Node) -> std::result::Result<Node, String> {
        loop {
            let (low, high) = match self.rest.peek() {
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('?') => (0, Some(1)),
                Some('{') => {
                    self.rest.next();
                    let (low, high) = self.bounds()?;
                    node = Node::Repeat(Box::new(node), low, high);
                    continue;
                }
                _ => return Ok(node),
            };
            self.rest.next();
            // Lazy or not, the same texts match.
            self.take('?');
            node = Node::Repeat(Box::new(node), low, high);
        }
    }

    /// `n}`, `n,}`, `,m}` or `n,m}`.
    fn bounds(&mut self) -> std::result::Result<(usize, Option<usize>), String> {
        let text: String = std::iter::from_fn(|| self.rest.next_if(|c| *c != '}')).collect();
        let wrong = || format!("`{{{text}}}` is no repetition up to {MOST_REPEATS}");
        if !self.take('}') {
            return Err(wrong());
        }
        let number = |s: &str, empty| match s {
            "" => Ok(empty),
            s => s.parse().map(Some).map_err(|_| wrong()),
        };
        let (low, high) = match text.split_once(',') {
            Some((low, high)) => (number(low, Some(0))?, number(high, None)?),
            None => (number(&text, None)?, number(&text, None)?),
        };
        let low = low.ok_or_else(wrong)?;
        if high.is_some_and(|h| h < low) || low.max(high.unwrap_or(0)) > MOST_REPEATS {
            return Err(wrong());
        }
        Ok((low, high))
    }

    fn atom(&mut self) -> std::result::Result<Node, String> {
        let one = |a, b| {
            Node::One(Set {
                not: false,
                ranges: vec![(a, b)],
            })
        };
        match self.rest.next() {
            Some('(') => {
                if self.take('?') && !self.take(':') {
                    return Err("only groups `( )` and `(?: )` are known".into());
                }
                let node = self.either()?;
                match self.take(')') {
                    true => Ok(node),
                    false => Err("a group is not closed".into()),
                }
            }
            Some('[') => self.class().map(Node::One),
            Some('.') => Ok(Node::One(Set {
                not: true,
                ranges: vec![('\n', '\n')],
            })),
            Some('^') => Ok(Node::Start),
            Some('$') => Ok(Node::End),
            Some('\\') => self.escape().map(Node::One),
            Some(c @ ('*' | '+' | '?')) => Err(format!("nothing to repeat before `{c}`")),
            Some(c) => Ok(one(c, c)),
            None => Err("it ends too early".into()),
        }
    }

    fn escape(&mut self) -> std::result::Result<Set, String> {
        let c = self.rest.next().ok_or("it ends in a backslash")?;
        let ranges = match c.to_ascii_lowercase() {
            'd' => vec![('0', '9')],
            'w' => vec![('0', '9'), ('a', 'z'), ('A', 'Z'), ('_', '_')],
            's' => vec![(' ', ' '), ('\t', '\r')],
            _ if c.is_alphanumeric() => return Err(format!("`\\{c}` is not known")),
            _ => vec![(c, c)],
        };
        Ok(Set {
            not: c.is_ascii_uppercase(),
            ranges,
        })
    }

    fn class(&mut self) -> std::result::Result<Set, String> {
        const OPEN: &str = "a class is not closed";
        let not = self.take('^');
        let mut ranges = Vec::new();
        loop {
            let c = self.rest.next().ok_or(OPEN)?;
            if c == ']' && !ranges.is_empty() {
                return Ok(Set { not, ranges });
            }
            if c == '\\' {
                let set = self.escape()?;
                if set.not {
                    return Err("an opposite inside of a class".into());
                }
                ranges.extend(set.ranges);
                continue;
            }
            // `a-z`, but a minus before the bracket is one.
            if self.take('-') {
                match self.rest.next().ok_or(OPEN)? {
                    ']' => {
                        ranges.extend([(c, c), ('-', '-')]);
                        return Ok(Set { not, ranges });
                    }
                    end if end >= c => ranges.push((c, end)),
                    end => return Err(format!("`{c}-{end}` is no range")),
                }
            } else {
                ranges.push((c, c));
            }
        }
    }
}

/// Appends the instructions of a node. `budget` bounds the work, also that of repeated nothing.
fn compile(
    node: &Node,
    program: &mut Vec<Op>,
    budget: &mut usize,
) -> std::result::Result<(), String> {
    *budget = budget.checked_sub(1).ok_or("it is too large")?;
    match node {
        Node::One(set) => program.push(Op::One(set.clone())),
        Node::Start => program.push(Op::Start),
        Node::End => program.push(Op::End),
        Node::Sequence(all) => {
            for node in all {
                compile(node, program, budget)?;
            }
        }
        Node::Either(all) => {
            let mut ends = Vec::new();
            for (i, node) in all.iter().enumerate() {
                let fork = program.len();
                let last = i + 1 == all.len();
                if !last {
                    program.push(Op::Done);
                }
                compile(node, program, budget)?;
                if !last {
                    ends.push(program.len());
                    program.push(Op::Done);
                    program[fork] = Op::Fork(fork + 1, program.len());
                }
            }
            let end = program.len();
            ends.into_iter().for_each(|at| program[at] = Op::Jump(end));
        }
        Node::Repeat(node, low, high) => {
            for _ in 0..*low {
                compile(node, program, budget)?;
            }
            match high {
                None => {
                    let fork = program.len();
                    program.push(Op::Done);
                    compile(node, program, budget)?;
                    program.push(Op::Jump(fork));
                    program[fork] = Op::Fork(fork + 1, program.len());
                }
                Some(high) => {
                    let mut forks = Vec::new();
                    for _ in *low..*high {
                        forks.push(program.len());
                        program.push(Op::Done);
                        compile(node, program, budget)?;
                    }
                    let end = program.len();
                    let forks = forks.into_iter();
                    forks.for_each(|at| program[at] = Op::Fork(at + 1, end));
                }
            }
        }
    }
    Ok(())
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// If it uses more than this module knows, or is none.
    pub fn new(text: &str) -> Result<Pattern> {
        let mut parser = Parser {
            rest: text.chars().peekable(),
            depth: 0,
        };
        let mut program = Vec::new();
        let read = parser
            .either()
            .and_then(|node| match parser.rest.peek() {
                Some(c) => Err(format!("`{c}` has no beginning")),
                None => compile(&node, &mut program, &mut MOST_OPS.clone()),
            })
            .map_err(|problem| Error::data(format!("pattern `{text}`"), problem));
        program.push(Op::Done);
        read.map(|()| Pattern {
            text: text.into(),
            program,
        })
    }

    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches the whole text (Python's `re.fullmatch`).
    pub fn matches(&self, text: &str) -> bool {
        self.run(text, true)
    }

    /// Whether it matches somewhere in the text (Python's `re.search`).
    pub fn found_in(&self, text: &str) -> bool {
        self.run(text, false)
    }

    fn run(&self, text: &str, whole: bool) -> bool {
        let chars: Vec<char> = text.chars().collect();
        let mut now = Vec::new();
        for at in 0..=chars.len() {
            let mut seen = vec![false; self.program.len()];
            let ends = (at == 0, at == chars.len());
            let mut states = Vec::new();
            if at == 0 || !whole {
                self.follow(0, ends, &mut seen, &mut states);
            }
            for &state in &now {
                self.follow(state, ends, &mut seen, &mut states);
            }
            let done = seen[self.program.len() - 1];
            if done && (!whole || at == chars.len()) {
                return true;
            }
            now.clear();
            if let Some(&c) = chars.get(at) {
                let step = |&s: &usize| match &self.program[s] {
                    Op::One(set) if set.has(c) => Some(s + 1),
                    _ => None,
                };
                now.extend(states.iter().filter_map(step));
            }
        }
        false
    }

    /// All places that are reached from here without reading.
    fn follow(&self, from: usize, ends: (bool, bool), seen: &mut [bool], out: &mut Vec<usize>) {
        let mut todo = vec![from];
        while let Some(at) = todo.pop() {
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            match &self.program[at] {
                Op::One(_) | Op::Done => out.push(at),
                Op::Jump(to) => todo.push(*to),
                Op::Fork(a, b) => todo.extend([*b, *a]),
                Op::Start if ends.0 => todo.push(at + 1),
                Op::End if ends.1 => todo.push(at + 1),
                Op::Start | Op::End => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).unwrap().found_in(text)
    }

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(text)
    }

    #[test]
    fn searching_and_matching() {
        assert!(matches(".*dense_1/.*", "dense_1/kernel"));
        assert!(!matches("dense_1", "dense_1/kernel") && found("dense_1", "dense_1/kernel"));
        assert!(found("norm|bias", "layer/bias") && !found("norm|bias", "layer/kernel"));
        assert!(found("^dense", "dense/kernel") && !found("^kernel", "dense/kernel"));
        assert!(found("kernel$", "dense/kernel") && !found("dense$", "dense/kernel"));
        assert!(matches(r"dense_\d+/(kernel|bias)", "dense_12/bias"));
        assert!(!matches(r"dense_\d+/(kernel|bias)", "dense_/bias"));
        assert!(matches("[^/]+/gamma", "batch_norm/gamma") && !matches("[^/]+/gamma", "a/b/gamma"));
        assert!(matches("a{2,3}b?", "aaa") && !matches("a{2,3}", "a") && matches("a{2}", "aa"));
        assert!(matches("(?:ab)*", "ababab") && matches("(ab|a)(bc|c)", "abc"));
        assert!(matches(r"a\.b", "a.b") && !matches(r"a\.b", "axb"));
        assert!(matches("[a-c-]+", "a-c") && matches(r"[\w/]+", "a_1/b") && matches("[]a]", "]"));
        assert!(matches("", "") && found("", "anything") && matches("x|", ""));
        assert!(matches(".*?/kernel", "a/b/kernel") && matches("ü.", "üx"));
    }

    #[test]
    fn hostile_patterns_take_no_time() {
        assert!(!matches("(a*)*b", &"a".repeat(2000)));
        assert!(!matches("(a|a|aa)*b", &"a".repeat(2000)));
        for bad in [
            "(",
            ")",
            "[",
            "a{9999}",
            "*a",
            "(?=a)",
            r"\b",
            r"\",
            "[b-a]",
            "a{2,1}",
            "((((((a{99}){99}){99}){99}){99}){99})",
            "((((((){99}){99}){99}){99}){99}){99}",
        ] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
        assert!(Pattern::new(&"(".repeat(100_000)).is_err());
    }
}

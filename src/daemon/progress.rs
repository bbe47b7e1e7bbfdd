//! What runs now, as lines for a terminal of any size: the count, then the actions that run
//! longest. Pure: what stands on the screen and when it changes is the terminal's and the
//! output's.

use std::time::Duration;

use shared::wire::session::Tty;

use crate::output::Colour;

/// A bar in front of the count takes room that narrow terminals do not have.
const BAR_FROM_COLUMNS: usize = 60;
/// More lines than this nobody reads.
const MOST_LINES: usize = 12;
/// cargo's words end here.
const WORD: usize = 12;

/// A build at one moment.
#[derive(Debug)]
pub struct View<'a> {
    pub done: usize,
    pub total: usize,
    pub hits: usize,
    pub elapsed: Duration,
    /// What runs, and for how long.
    pub running: Vec<(&'a str, Duration)>,
}

/// The lines, each shorter than the screen is wide, fewer than it is high.
pub fn lines(mut view: View<'_>, size: Tty, colour: Colour) -> Vec<String> {
    // A terminal that wraps in its last column would have a line too many.
    let columns = usize::from(size.cols).saturating_sub(1);
    let most = usize::from(size.rows).saturating_sub(1).clamp(1, MOST_LINES);
    view.running.sort_by_key(|(_, since)| std::cmp::Reverse(*since));
    let mut lines = vec![head(&view, columns, colour)];
    let room = most - 1;
    let shown = if view.running.len() > room { room.saturating_sub(1) } else { view.running.len() };
    for (name, since) in &view.running[..shown] {
        let time = format!("{:>WORD$}", seconds(*since));
        let time = match colour {
            Colour::Always => format!("\x1b[36m{time}\x1b[0m"),
            Colour::Never => time,
        };
        lines.push(format!("{time} {}", cut(name, columns.saturating_sub(WORD + 1))));
    }
    let others = view.running.len() - shown;
    if others > 0 && room > 0 {
        lines.push(cut(&format!("{:>WORD$} and {others} more", "…"), columns));
    }
    lines
}

fn head(view: &View<'_>, columns: usize, colour: Colour) -> String {
    let mut text = format!("{}/{}: {} running", view.done, view.total, view.running.len());
    let hits = match view.hits {
        0 => String::new(),
        1 => ", 1 hit".to_owned(),
        hits => format!(", {hits} hits"),
    };
    let elapsed = format!(", {}", seconds(view.elapsed));
    let room = columns.saturating_sub(WORD + 1);
    for part in [elapsed, hits] {
        if text.len() + part.len() <= room {
            text.push_str(&part);
        }
    }
    let bar = match columns >= BAR_FROM_COLUMNS {
        true => bar(view, room.saturating_sub(text.len() + 3).min(25)),
        false => String::new(),
    };
    let text = cut(&(bar + &text), room);
    match colour {
        Colour::Always => format!("\x1b[1m\x1b[96m{:>WORD$}\x1b[0m {text}", "Building"),
        Colour::Never => format!("{:>WORD$} {text}", "Building"),
    }
}

/// `[====>    ] `, `inner` columns between the brackets.
fn bar(view: &View<'_>, inner: usize) -> String {
    let full = (inner * view.done).checked_div(view.total).unwrap_or(0).min(inner);
    let mut text = "=".repeat(full);
    if full < inner {
        text.push('>');
    }
    format!("[{text:<inner$}] ")
}

/// At most so many columns of a text.
pub fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(1)).chain((columns > 0).then_some('…')).collect()
}

/// `3.2s`, `1m 05s`, `2h 07m`.
pub fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1}s", time.as_secs_f64()),
        whole @ 60..3600 => format!("{}m {:02}s", whole / 60, whole % 60),
        whole => format!("{}h {:02}m", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(rows: u16, cols: u16, running: &[(&'static str, u64)]) -> Vec<String> {
        let running = running.iter().map(|(name, ms)| (*name, Duration::from_millis(*ms))).collect();
        let view = View { done: 21, total: 54, hits: 7, elapsed: Duration::from_millis(4230), running };
        lines(view, Tty { rows, cols }, Colour::Never)
    }

    #[test]
    fn the_longest_stands_first_and_all_fits() {
        let two = [("bstr v1.12.0 (lib)", 100), ("regex-automata v0.4.13 (lib)", 3210)];
        assert_eq!(
            drawn(24, 80, &two),
            [
                "    Building [=========>               ] 21/54: 2 running, 4.2s, 7 hits",
                "        3.2s regex-automata v0.4.13 (lib)",
                "        0.1s bstr v1.12.0 (lib)",
            ]
        );
        assert_eq!(
            drawn(24, 40, &two),
            [
                "    Building 21/54: 2 running, 4.2s",
                "        3.2s regex-automata v0.4.13 (l…",
                "        0.1s bstr v1.12.0 (lib)",
            ]
        );
    }

    #[test]
    fn a_low_terminal_names_how_many_more_there_are() {
        let many = [("a", 1000), ("b", 2000), ("c", 3000), ("d", 4000)];
        assert_eq!(drawn(4, 30, &many)[1..], ["        4.0s d", "           … and 3 more"]);
        assert_eq!(drawn(1, 30, &many).len(), 1);
        assert_eq!(drawn(2, 30, &many).len(), 1);
        for cols in 0..100 {
            for rows in 0..8 {
                let drawn = drawn(rows, cols, &many);
                assert!(drawn.len() < usize::from(rows.max(2)), "{rows} rows: {drawn:?}");
                let fits = |line: &String| cols < 16 || line.chars().count() < usize::from(cols);
                assert!(drawn.iter().all(fits), "{cols} columns: {drawn:?}");
            }
        }
    }

    #[test]
    fn times_of_every_size() {
        let said = |ms| seconds(Duration::from_millis(ms));
        assert_eq!([said(0), said(59_900), said(65_000), said(7_620_000)], ["0.0s", "59.9s", "1m 05s", "2h 07m"]);
    }
}

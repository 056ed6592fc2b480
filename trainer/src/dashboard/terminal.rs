//! A run in the terminal: a screen of curves and numbers, or a line now and then where standard
//! output is no terminal.

mod draw;

use std::io::{self, IsTerminal, Stdout, Write};
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};

use super::history::{History, Summary};
use crate::train::log::{Record, Validation, now};

use self::draw::draw;

/// Least time between two pictures of the screen.
const REDRAW: Duration = Duration::from_millis(250);
/// Least time between two lines of steps.
const LINE: Duration = Duration::from_secs(10);

/// Shows a run as it goes on.
pub struct Monitor {
    history: History,
    output: Output,
    shown: Option<Instant>,
    notes: Vec<String>,
}

enum Output {
    Screen(Screen),
    Lines,
}

/// The terminal's other screen; the first comes back when this is dropped. Keys keep their
/// meaning: Ctrl-C still interrupts.
struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    fn open() -> io::Result<Self> {
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        match Terminal::new(CrosstermBackend::new(io::stdout())) {
            Ok(terminal) => Ok(Self(terminal)),
            Err(error) => {
                close();
                Err(error)
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        close();
    }
}

fn close() {
    // A terminal that went away needs no repair.
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
}

impl Monitor {
    /// A screen where standard output is a terminal and `plain` is not set, otherwise lines.
    pub fn new(plain: bool) -> Self {
        let screen = (!plain && io::stdout().is_terminal())
            .then(Screen::open)
            .and_then(Result::ok);
        Self {
            history: History::default(),
            output: screen.map_or(Output::Lines, Output::Screen),
            shown: None,
            notes: Vec::new(),
        }
    }

    /// Whether there is a screen, on which other output would be lost: use [`Monitor::note`].
    pub fn has_screen(&self) -> bool {
        matches!(self.output, Output::Screen(_))
    }

    /// Shows a line of the log.
    pub fn record(&mut self, record: &Record) {
        self.history.push(record.clone());
        if let (Record::Note { message, .. }, true) = (record, self.has_screen()) {
            return self.note(message);
        }
        let step = matches!(record, Record::Step(_));
        let due = |every: Duration, shown: Option<Instant>| {
            shown.is_none_or(|shown| shown.elapsed() >= every)
        };
        match &self.output {
            Output::Screen(_) if !step || due(REDRAW, self.shown) => self.redraw(),
            Output::Screen(_) => {}
            Output::Lines => {
                let first = self.history.steps.len() == 1;
                if (!step || first || due(LINE, self.shown))
                    && let Some(line) = line(record, &self.history)
                {
                    print(&line);
                    if step {
                        self.shown = Some(Instant::now());
                    }
                }
            }
        }
    }

    /// Takes over a run that others write; shows it where it has changed.
    pub fn show(&mut self, history: &History) {
        self.history = history.clone();
        self.redraw();
    }

    /// Shows a message.
    pub fn note(&mut self, text: &str) {
        match &self.output {
            Output::Lines => print(text),
            Output::Screen(_) => {
                self.notes.push(text.to_owned());
                self.redraw();
            }
        }
    }

    fn redraw(&mut self) {
        if let Output::Screen(screen) = &mut self.output {
            let (history, notes) = (&self.history, &self.notes);
            // What cannot be shown now may be shown later; the run goes on in any case.
            let _ = screen.0.draw(|frame| draw(frame, history, notes, now()));
            self.shown = Some(Instant::now());
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        if !self.has_screen() {
            return;
        }
        // The first screen keeps what would have been there without the other.
        self.output = Output::Lines;
        for note in &self.notes {
            print(note);
        }
        if let Some(summary) = self.history.summary(now()) {
            print(&status(&summary));
        }
    }
}

/// Prints a line; a reader that went away does not end the run.
fn print(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// A line of the log for people, or `None` where it says nothing to them.
pub fn line(record: &Record, history: &History) -> Option<String> {
    Some(match record {
        Record::Run(run) => format!(
            "{}: {}, {:.1} M parameters, {}, {} volumes, {} steps of {} samples",
            run.name,
            run.model,
            run.parameters as f64 / 1e6,
            run.device,
            run.volumes,
            run.steps,
            run.batch
        ),
        Record::Step(_) => status(&history.summary(now())?),
        Record::Validation(v) => validation(v),
        Record::Note { message, .. } => message.clone(),
        Record::Damaged { step, message } => {
            format!("step {step}: passed over a damaged volume: {message}")
        }
        Record::Picture { step, path } => format!("step {step}: picture {}", path.display()),
        Record::Checkpoint { step, path } => {
            format!("step {step}: checkpoint {}", path.display())
        }
        Record::Resume { step, .. } => format!("goes on after step {step}"),
        Record::End { step, reason, .. } => {
            format!("step {step}: {}", format!("{reason:?}").to_lowercase())
        }
    })
}

/// What a validation found, in a line.
fn validation(v: &Validation) -> String {
    let mut out = format!("step {}: validation loss {:.5}", v.step, v.loss);
    for (name, value) in [
        ("masked", v.masked_loss),
        ("visible", v.visible_loss),
        ("rotation", v.rotation_loss),
        ("contrastive", v.contrastive_loss),
        ("inpainting", v.inpainting_loss),
        ("Dice", v.dice),
    ] {
        out.extend(value.map(|value| format!(", {name} {value:.5}")));
    }
    if v.classes.len() > 1 {
        let classes = v
            .classes
            .iter()
            .map(|(name, dice)| format!("{name} {dice:.4}"));
        out += &format!(" ({})", classes.collect::<Vec<_>>().join(", "));
    }
    out
}

/// Where a run is, in a line.
fn status(s: &Summary) -> String {
    let mut out = format!("step {}/{}", s.step, s.steps);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            out += &format!(", {name}{value}");
        }
    };
    add("loss ", s.loss.map(|v| format!("{v:.5}")));
    add("masked ", s.masked_loss.map(|v| format!("{v:.5}")));
    add("visible ", s.visible_loss.map(|v| format!("{v:.5}")));
    add("rotation ", s.rotation_loss.map(|v| format!("{v:.5}")));
    add(
        "contrastive ",
        s.contrastive_loss.map(|v| format!("{v:.5}")),
    );
    add("inpainting ", s.inpainting_loss.map(|v| format!("{v:.5}")));
    add("Dice part ", s.dice_loss.map(|v| format!("{v:.5}")));
    add("cross-entropy ", s.cross_entropy.map(|v| format!("{v:.5}")));
    add("", s.samples_per_s.map(|v| format!("{v:.2} samples/s")));
    add("waiting ", s.waiting.map(|v| format!("{:.0} %", v * 100.0)));
    add("", s.memory_mib.map(|v| format!("{v:.0} MiB")));
    add("left ", s.left_s.map(duration));
    out
}

/// A time for people: `3 d 4 h`, `2 h 05 min`, `4 min 10 s`.
pub(super) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "unknown".into();
    }
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {:02} min", s / 3600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;

    use super::super::history::tests::{run, step, validation};
    use super::*;
    use crate::train::log::EndReason;

    fn history(steps: u64) -> History {
        let mut history = History::default();
        history.push(Record::Run(run("night run")));
        for i in 1..=steps {
            history.push(Record::Step(step(i)));
        }
        history.push(Record::Validation(validation(steps, 0.125)));
        history
    }

    fn screen(width: u16, height: u16, history: &History) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        let notes = ["disk is nearly full".to_owned()];
        terminal
            .draw(|frame| draw(frame, history, &notes, 1250.0))
            .expect("drawn");
        terminal.backend().to_string()
    }

    #[test]
    fn a_segmentation_shows_its_dice() {
        let mut history = history(100);
        let found = Validation {
            dice: Some(0.75),
            classes: [("core".to_owned(), 0.5), ("oedema".to_owned(), 1.0)].into(),
            ..validation(100, 0.125)
        };
        let shown = line(&Record::Validation(found.clone()), &history).expect("a line");
        assert!(
            shown.contains("Dice 0.75000 (core 0.5000, oedema 1.0000)"),
            "{shown}"
        );
        assert!(!screen(120, 40, &history).contains("validation Dice"));
        history.push(Record::Validation(found));
        assert!(screen(120, 40, &history).contains("validation Dice"));
    }

    #[test]
    fn a_screen_shows_the_run() {
        let shown = screen(120, 40, &history(100));
        for text in [
            "night run",
            "U-Net B",
            "17.9 M parameters",
            "running",
            "100 of 200",
            "masked",
            "visible",
            "validation",
            "learning rate",
            "4.00 samples/s",
            "waiting for samples",
            "25 %",
            "1000 MiB",
            "3 min 20 s",
            "disk is nearly full",
        ] {
            assert!(shown.contains(text), "{text} in\n{shown}");
        }
        // Curves are drawn in dots.
        let dots = |c: char| ('\u{2801}'..='\u{28FF}').contains(&c);
        assert!(shown.chars().filter(|&c| dots(c)).count() > 50, "{shown}");
    }

    #[test]
    fn no_screen_is_too_small_and_no_run_too_short() {
        for (width, height) in [(1, 1), (20, 5), (60, 12), (200, 60)] {
            for steps in [0, 1, 2, 500] {
                screen(width, height, &history(steps));
            }
            screen(width, height, &History::default());
        }
    }

    #[test]
    fn lines_say_what_happened() {
        let history = history(100);
        let status = line(&Record::Step(step(100)), &history).expect("a line");
        assert!(status.starts_with("step 100/200, loss 0.01"), "{status}");
        assert!(
            status.contains("4.00 samples/s, waiting 25 %, 1000 MiB"),
            "{status}"
        );
        let end = Record::End {
            step: 100,
            reason: EndReason::Finished,
            time: 0.0,
        };
        assert_eq!(line(&end, &history).as_deref(), Some("step 100: finished"));
        assert_eq!(duration(59.6), "1 min 00 s");
        assert_eq!(duration(7_500.0), "2 h 05 min");
        assert_eq!(duration(273_600.0), "3 d 4 h");
    }
}

//! Tables without lines, as wide as the terminal allows; in a pipe, one line a row whatever its length.

use std::io::IsTerminal as _;

use comfy_table::{ContentArrangement, presets::NOTHING};

use super::text;

/// A table of text.
#[derive(Debug)]
pub(crate) struct Table {
    inner: comfy_table::Table,
}

impl Table {
    /// With these headings.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(NOTHING).set_header(headings);
        if std::io::stdout().is_terminal() {
            inner.set_content_arrangement(ContentArrangement::Dynamic);
        }
        Self { inner }
    }

    /// Adds a row; the cells may hold anything.
    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.inner.add_row(cells.map(|cell| text::line(cell).into_owned()));
    }

    /// As text, a line a row.
    pub(crate) fn render(&self) -> String {
        self.inner.lines().map(|line| line.trim_end().trim_start_matches(' ').to_owned() + "\n").collect()
    }
}

/// Name and value, one pair a line, the values in a column.
pub(crate) fn facts(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name:width$}  {}\n", text::line(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_its_cells_are_harmless() {
        let mut table = Table::new(["NAME", "WHAT"]);
        table.row(["pg-prod", "a\u{1b}[31m"]);
        table.row(["x", "b\nc"]);
        assert_eq!(table.render(), "NAME     WHAT\npg-prod  a\\x1b[31m\nx        b\\nc\n");
    }

    #[test]
    fn facts_stand_in_a_column() {
        assert_eq!(facts(&[("id", "1".into()), ("name", "a\rb".into())]), "id    1\nname  a\\rb\n");
    }
}

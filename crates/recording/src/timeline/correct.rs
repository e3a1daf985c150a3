//! What was shown before an answer told better: which statement a name stood for.

use hoop_model::StreamId;

use super::{Builder, Open, Values};
use crate::event::RequestId;

impl Builder {
    /// A `Parse` or `Bind` failed: what was asked behind it, before that was known, is what its name stood for before.
    pub(super) fn take_back(&mut self, stream: Option<StreamId>, id: RequestId) {
        let Some(Open { index, name, .. }) = self.open.get(&(stream, id)) else { return };
        let (index, name) = (*index, name.clone());
        match self.timeline.statements.get(index).map(|view| view.form.as_str()) {
            Some("prepare") => {
                let Some((before, text)) = self.prepared.take_back(stream, &name, id) else { return };
                for at in self.shown_from(stream, id, index) {
                    let (bound, values) = self.show_again(at, before, &text, None);
                    if let Some(portal) = self.open.get(&(stream, bound)).map(|open| open.name.clone()) {
                        self.portals.correct(stream, &portal, bound, (text.clone(), values.clone()));
                    }
                    for at in self.shown_from(stream, bound, at) {
                        self.show_again(at, bound, &text, Some(&values));
                    }
                }
            }
            Some("bind") => {
                let Some((before, (text, values))) = self.portals.take_back(stream, &name, id) else {
                    return;
                };
                for at in self.shown_from(stream, id, index) {
                    self.show_again(at, before, &text, Some(&values));
                }
            }
            _ => {}
        }
    }

    /// Statements behind `index` whose text is from this request.
    fn shown_from(&self, stream: Option<StreamId>, source: RequestId, index: usize) -> Vec<usize> {
        let views = self.timeline.statements.iter().zip(&self.sources).enumerate().skip(index + 1);
        let from = views.filter(|(_, (view, from))| view.stream == stream && **from == Some(source));
        from.map(|(at, _)| at).collect()
    }

    /// Gives a statement another text, and other values if there are; its id and its values.
    fn show_again(
        &mut self,
        at: usize,
        source: RequestId,
        text: &str,
        values: Option<&Values>,
    ) -> (RequestId, Values) {
        self.sources.get_mut(at).into_iter().for_each(|from| *from = Some(source));
        let Some(view) = self.timeline.statements.get_mut(at) else { return Default::default() };
        text.clone_into(&mut view.text);
        values.into_iter().for_each(|values| view.parameters.clone_from(values));
        (view.id, view.parameters.clone())
    }
}

//! How a session is told to end: once, with a reason, heard by all its streams; and cut, if they do not come to an end.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use hoop_model::Fault;
use tokio::sync::watch;

#[derive(Debug, Clone, Default)]
struct Stage {
    reason: Option<Fault>,
    cut: bool,
}

/// Hears the end.
#[derive(Debug, Clone)]
pub struct Ending(watch::Receiver<Stage>);

/// Says the end. Dropping it without a word ends nothing.
#[derive(Debug, Clone)]
pub struct Terminator(watch::Sender<Stage>);

/// A pair of the two.
#[must_use]
pub fn ending() -> (Terminator, Ending) {
    let (sender, receiver) = watch::channel(Stage::default());
    (Terminator(sender), Ending(receiver))
}

impl Terminator {
    /// Ends the session for this reason; the first reason stays. Streams say good-bye.
    pub fn end(&self, reason: Fault) {
        self.0.send_if_modified(|stage| {
            let first = stage.reason.is_none();
            stage.reason.get_or_insert(reason);
            first
        });
    }

    /// The time for good-byes is over. Without effect before [`Self::end`].
    pub fn cut(&self) {
        self.0.send_if_modified(|stage| !std::mem::replace(&mut stage.cut, true));
    }

    /// The reason, once it is over.
    #[must_use]
    pub fn reason(&self) -> Option<Fault> {
        self.0.borrow().reason.clone()
    }

    /// Another ear.
    #[must_use]
    pub fn listen(&self) -> Ending {
        Ending(self.0.subscribe())
    }
}

impl Ending {
    /// The reason, once it is over.
    pub(crate) fn reason(&self) -> Option<Fault> {
        self.0.borrow().reason.clone()
    }

    /// Waits for the end. Cancel safe.
    pub async fn ended(mut self) -> Fault {
        loop {
            if let Some(reason) = self.0.borrow_and_update().reason.clone() {
                return reason;
            }
            if self.0.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// What a stream hears.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Say good-bye.
    End(Fault),
    /// Stop at once.
    Cut(Fault),
}

/// An [`Ending`] that is looked at in every poll of a stream: costs one atomic load while there is nothing to hear.
pub(crate) struct Ear {
    look: watch::Receiver<Stage>,
    /// Wakes the task that `waker` belongs to.
    alarm: Alarm,
    waker: Option<Waker>,
    told_end: bool,
}

type Alarm = Pin<Box<dyn Future<Output = watch::Receiver<Stage>> + Send>>;

fn alarm(mut receiver: watch::Receiver<Stage>) -> Alarm {
    Box::pin(async move {
        if receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        receiver
    })
}

impl Ear {
    pub(crate) fn new(ending: Ending) -> Self {
        Self { alarm: alarm(ending.0.clone()), look: ending.0, waker: None, told_end: false }
    }

    /// What is new, if anything is; else this task is woken when there is.
    pub(crate) fn hear(&mut self, cx: &mut Context<'_>) -> Option<News> {
        let armed = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if armed && !self.look.has_changed().unwrap_or(false) {
            return None;
        }
        while let Poll::Ready(receiver) = self.alarm.as_mut().poll(cx) {
            self.alarm = alarm(receiver);
        }
        self.waker = Some(cx.waker().clone());
        let stage = self.look.borrow_and_update().clone();
        let reason = stage.reason?;
        if stage.cut {
            return Some(News::Cut(reason));
        }
        (!std::mem::replace(&mut self.told_end, true)).then_some(News::End(reason))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use hoop_model::Blame;

    use super::*;

    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn fault(text: &str) -> Fault {
        Fault::new("HOOP-4002", Blame::Policy, text.to_owned())
    }

    #[test]
    fn each_word_wakes_and_is_heard_once() {
        let (terminator, ending) = ending();
        let mut ear = Ear::new(ending);
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let cx = &mut Context::from_waker(&waker);
        assert_eq!(ear.hear(cx), None);
        assert_eq!(ear.hear(cx), None);
        terminator.end(fault("killed"));
        terminator.end(fault("too late to be the reason"));
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert_eq!(ear.hear(cx), Some(News::End(fault("killed"))));
        assert_eq!(ear.hear(cx), None);
        terminator.cut();
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
        assert_eq!(ear.hear(cx), Some(News::Cut(fault("killed"))));
    }

    #[test]
    fn who_listens_late_or_from_another_task_hears_it_too() {
        let (terminator, ending) = ending();
        let mut ear = Ear::new(ending);
        assert_eq!(ear.hear(&mut Context::from_waker(Waker::noop())), None);
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let other = Waker::from(Arc::clone(&count));
        assert_eq!(ear.hear(&mut Context::from_waker(&other)), None);
        terminator.end(fault("killed"));
        assert_eq!(count.0.load(Ordering::SeqCst), 1, "the task that asked last is woken");
        let mut late = Ear::new(terminator.listen());
        assert_eq!(late.hear(&mut Context::from_waker(&other)), Some(News::End(fault("killed"))));
    }

    #[test]
    fn a_terminator_that_is_gone_ends_nothing() {
        let (terminator, ending) = ending();
        let mut ear = Ear::new(ending);
        drop(terminator);
        assert_eq!(ear.hear(&mut Context::from_waker(Waker::noop())), None);
    }
}

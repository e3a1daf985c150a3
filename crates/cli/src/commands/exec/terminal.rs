//! The terminal at hand, handed over byte by byte, and given back as it was.

#[cfg(unix)]
pub(super) use self::unix::Raw;

#[cfg(not(unix))]
pub(super) use self::elsewhere::Raw;

#[cfg(unix)]
mod unix {
    use std::io;

    use hoop_client::kube::exec::Size;
    use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
    use tokio::{
        signal::unix::{SignalKind, signal},
        sync::watch,
    };

    /// A terminal in raw mode; dropping it gives it back.
    pub(in crate::commands::exec) struct Raw {
        before: Option<Termios>,
        size: watch::Sender<Size>,
    }

    impl Raw {
        /// Where stdin is no terminal, nothing is changed.
        pub(in crate::commands::exec) fn enter() -> io::Result<Self> {
            let before = tcgetattr(io::stdin()).ok();
            if let Some(before) = &before {
                let mut raw = before.clone();
                raw.make_raw();
                tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
            }
            Ok(Self { before, size: watch::Sender::new(size()) })
        }

        pub(in crate::commands::exec) fn size(&self) -> watch::Receiver<Size> {
            self.size.subscribe()
        }

        /// Follows its size. Ends only when it cannot.
        pub(in crate::commands::exec) async fn watch(&self) -> io::Error {
            let mut changes = match signal(SignalKind::window_change()) {
                Ok(changes) => changes,
                Err(error) => return error,
            };
            // It may have changed before anybody listened.
            self.look();
            while changes.recv().await.is_some() {
                self.look();
            }
            io::ErrorKind::UnexpectedEof.into()
        }

        fn look(&self) {
            let now = size();
            self.size.send_if_modified(|size| std::mem::replace(size, now) != now);
        }
    }

    impl Drop for Raw {
        fn drop(&mut self) {
            if let Some(before) = &self.before {
                let _ = tcsetattr(io::stdin(), OptionalActions::Drain, before);
            }
        }
    }

    /// Of the first that is a terminal; else what terminals have always had.
    fn size() -> Size {
        let found = tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stdin()));
        match found {
            Ok(found) if found.ws_col > 0 && found.ws_row > 0 => {
                Size { width: found.ws_col, height: found.ws_row }
            }
            _ => Size { width: 80, height: 24 },
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    //! Line by line, as the console gives it.
    use std::io;

    use hoop_client::kube::exec::Size;
    use tokio::sync::watch;

    pub(in crate::commands::exec) struct Raw(watch::Sender<Size>);

    impl Raw {
        pub(in crate::commands::exec) fn enter() -> io::Result<Self> {
            Ok(Self(watch::Sender::new(Size { width: 80, height: 24 })))
        }

        pub(in crate::commands::exec) fn size(&self) -> watch::Receiver<Size> {
            self.0.subscribe()
        }

        pub(in crate::commands::exec) async fn watch(&self) -> io::Error {
            std::future::pending().await
        }
    }
}

//! The terminal at hand, handed over byte by byte, and given back as it was.

#[cfg(unix)]
pub(super) use self::unix::Raw;

#[cfg(not(unix))]
pub(super) use self::elsewhere::Raw;

#[cfg(unix)]
mod unix {
    use std::{
        io,
        os::fd::{AsFd, OwnedFd},
    };

    use hoop_client::kube::exec::Size;
    use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
    use tokio::{
        signal::unix::{SignalKind, signal},
        sync::watch,
    };

    /// A terminal in raw mode; dropping it gives it back.
    pub(in crate::commands::exec) struct Raw {
        keys: OwnedFd,
        before: Option<Termios>,
        size: watch::Sender<Size>,
    }

    impl Raw {
        /// Takes the terminal at stdin. If that is none, nothing is changed.
        pub(in crate::commands::exec) fn enter() -> io::Result<Self> {
            Self::take(io::stdin())
        }

        fn take(keys: impl AsFd) -> io::Result<Self> {
            let keys = keys.as_fd().try_clone_to_owned()?;
            let before = tcgetattr(&keys).ok();
            if let Some(before) = &before {
                let mut raw = before.clone();
                raw.make_raw();
                tcsetattr(&keys, OptionalActions::Drain, &raw)?;
            }
            let size = watch::Sender::new(size(&keys));
            Ok(Self { keys, before, size })
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
            let now = size(&self.keys);
            self.size.send_if_modified(|size| std::mem::replace(size, now) != now);
        }
    }

    impl Drop for Raw {
        fn drop(&mut self) {
            if let Some(before) = &self.before {
                let _ = tcsetattr(&self.keys, OptionalActions::Drain, before);
            }
        }
    }

    /// Of the first that is a terminal; else what terminals have always had.
    fn size(keys: &OwnedFd) -> Size {
        let found = tcgetwinsize(keys).or_else(|_| tcgetwinsize(io::stdout()));
        match found {
            Ok(found) if found.ws_col > 0 && found.ws_row > 0 => {
                Size { width: found.ws_col, height: found.ws_row }
            }
            _ => Size { width: 80, height: 24 },
        }
    }

    #[cfg(test)]
    mod tests {
        use std::fs::File;

        use rustix::{
            pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
            termios::{LocalModes, Winsize, tcsetwinsize},
        };

        use super::*;

        /// A terminal of our own, and the end that a program sees.
        fn terminal() -> (OwnedFd, File) {
            let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
            grantpt(&screen).unwrap();
            unlockpt(&screen).unwrap();
            let name = ptsname(&screen, Vec::new()).unwrap();
            let keys = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
            (screen, keys)
        }

        #[test]
        fn a_terminal_is_raw_while_it_is_held_and_then_as_it_was() {
            let (_screen, keys) = terminal();
            let modes = || tcgetattr(&keys).unwrap().local_modes;
            let before = modes();
            let cooked = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
            assert!(before.contains(cooked));
            let held = Raw::take(&keys).unwrap();
            assert!(!modes().intersects(cooked), "Ctrl-C is for the pod");
            drop(held);
            assert_eq!(modes(), before);
        }

        #[test]
        fn a_change_of_size_is_told_once() {
            let (_screen, keys) = terminal();
            let become_wide = |width| {
                let size = Winsize { ws_col: width, ws_row: 50, ws_xpixel: 0, ws_ypixel: 0 };
                tcsetwinsize(&keys, size).unwrap();
            };
            become_wide(132);
            let held = Raw::take(&keys).unwrap();
            let mut told = held.size();
            assert_eq!(*told.borrow_and_update(), Size { width: 132, height: 50 });
            held.look();
            assert!(!told.has_changed().unwrap());
            become_wide(80);
            held.look();
            assert_eq!(*told.borrow_and_update(), Size { width: 80, height: 50 });
        }

        #[test]
        fn what_is_no_terminal_is_left_alone() {
            let held = Raw::take(File::open("/dev/null").unwrap()).unwrap();
            assert!(held.before.is_none());
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

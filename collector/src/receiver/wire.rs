//! A connection's socket: what is read is accounted for, nobody reads for long while others wait, and who does not take
//! the answers is cut.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::peer::Peer;

/// A peer must take what is written within this time: answers are small, and wait in the socket's buffer before.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);

/// A socket.
pub(super) struct Wire<S> {
    stream: S,
    peer: Rc<Peer>,
    /// Bytes read since others had their turn.
    read: u64,
    /// Runs while a write waits.
    write_ends: Option<Pin<Box<Sleep>>>,
}

// === impl Wire ===

impl<S> Wire<S> {
    pub(super) fn new(stream: S, peer: Rc<Peer>) -> Self {
        Self {
            stream,
            peer,
            read: 0,
            write_ends: None,
        }
    }

    /// Ends a write that waits for too long.
    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_ends = None;
            return written;
        }
        let ends = self
            .write_ends
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIME_MAX)));
        ready!(ends.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read >= self.peer.read_bytes_max() {
            self.read = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let had = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        match &read {
            Poll::Ready(_) => {
                let bytes = (buffer.filled().len() - had) as u64;
                self.read += bytes;
                self.peer.came(bytes);
            }
            Poll::Pending => self.read = 0,
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, ended)
    }
}

//! The process that stands for a channel when the model server behind it is not ours, as with a running Ollama.
//!
//! Carries bytes between a loopback port and the server, so that cutting a channel ends something real. Ends when
//! standard input does, like every supervised child.
//! Bounds: [`CONNECTIONS_MAX`] connections of two buffers of 8 KiB each, 2 MiB in all; more of them wait in the backlog.

use std::{io, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot},
};

/// Listens on `127.0.0.1:port` and carries each connection to `target` (`HOST:PORT`) until standard input ends.
pub(crate) async fn run(port: u16, target: &str) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    tokio::select! {
        () = carry(listener, target.into()) => Ok(()),
        _ended = end_of_input() => Ok(()),
    }
}

async fn carry(listener: TcpListener, target: Arc<str>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        // Accepting fails when a connection is gone already or files run out; the next one may do better.
        let Ok((mut near, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let target = Arc::clone(&target);
        tokio::spawn(async move {
            let _place = place;
            if let Ok(mut far) = TcpStream::connect(&*target).await {
                let _small = (near.set_nodelay(true), far.set_nodelay(true));
                let _carried = copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}

/// Resolves when standard input ends. A plain thread reads it: the runtime's own would keep the process alive.
fn end_of_input() -> oneshot::Receiver<()> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let _drained = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _heard = sender.send(());
    });
    receiver
}

/// Calls in flight on one channel; far beyond what one local model answers at a time.
const CONNECTIONS_MAX: usize = 128;
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn bytes_are_carried_both_ways() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = server.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut socket, _) = server.accept().await.unwrap();
            let mut asked = String::new();
            socket.read_to_string(&mut asked).await.unwrap();
            socket
                .write_all(format!("heard {asked}").as_bytes())
                .await
                .unwrap();
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = listener.local_addr().unwrap();
        tokio::spawn(carry(listener, target.as_str().into()));
        let mut socket = TcpStream::connect(near).await.unwrap();
        socket.write_all(b"hello").await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "heard hello");
    }

    #[tokio::test]
    async fn connection_closes_when_the_server_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = listener.local_addr().unwrap();
        let gone = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        tokio::spawn(carry(listener, gone.to_string().into()));
        let mut answer = Vec::new();
        TcpStream::connect(near)
            .await
            .unwrap()
            .read_to_end(&mut answer)
            .await
            .unwrap();
        assert_eq!(answer, b"");
    }
}

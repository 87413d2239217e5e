//! Letters by SMTP: `smtps://user:password@host` with TLS from the first byte, `smtp://host:587?tls=required` with
//! STARTTLS, plain `smtp://localhost:25` only to a server that is trusted with the letters.

use std::sync::Arc;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::Error;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use weir_engine::mail::{Letter, NotSent, SendLetter};

/// How long a conversation with the server may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Why letters cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The URL names no server that is understood.
    #[error("not an SMTP address: {0}")]
    Url(#[from] Error),
    /// Nobody could be answered.
    #[error("not a mail address: {0}")]
    From(#[from] lettre::address::AddressError),
}

/// Sends letters to the server of `url` as `from` (`Weir <weir@example.com>` or the address alone).
pub fn sender(url: &str, from: &str) -> Result<SendLetter, MailError> {
    let server = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)?.timeout(Some(TIMEOUT)).build();
    let from: Mailbox = from.parse()?;
    Ok(Arc::new(move |letter| {
        let (server, from) = (server.clone(), from.clone());
        Box::pin(async move {
            let message = message(from, letter)?;
            match tokio::time::timeout(TIMEOUT, server.send(message)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) if error.is_permanent() => Err(NotSent::Never(error.to_string())),
                Ok(Err(error)) => Err(NotSent::Later(error.to_string())),
                Err(_) => Err(NotSent::Later("the server takes too long".to_owned())),
            }
        })
    }))
}

fn message(from: Mailbox, letter: Letter) -> Result<Message, NotSent> {
    let never = |error: String| NotSent::Never(error);
    let to = letter.to.parse().map_err(|_| never("the address is none".to_owned()))?;
    Message::builder()
        .from(from)
        .to(Mailbox::new(None, to))
        .subject(letter.subject)
        .header(ContentType::TEXT_PLAIN)
        .body(letter.text)
        .map_err(|error| never(error.to_string()))
}

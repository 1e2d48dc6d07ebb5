//! Starts and stops an org.

use std::{net::SocketAddr, sync::Arc};

use url::Url;

use crate::{
    control, dispatch,
    error::Error,
    lock::lock,
    options::Options,
    org::Org,
    pubsub,
    serve::{Fate, listen, serve},
    tls,
};

/// A running simulated org. Dropping it stops it too, without waiting.
pub struct Simulator {
    org: Arc<Org>,
    control_url: Url,
    control_token: String,
    ca_pem: Option<String>,
}

impl Simulator {
    /// Starts an org: it answers when this returns.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let control_address = options.control_listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        if !control_address.ip().is_loopback() {
            return Err(Error::ControlNotLoopback(control_address));
        }
        let grpc_address = options.grpc_listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        if !options.tls && !grpc_address.ip().is_loopback() {
            return Err(Error::GrpcNotLoopback(grpc_address));
        }
        let tls = options.tls.then(tls::make).transpose()?;
        let listeners = listen(options.listen).await?;
        let control_listeners = listen(control_address).await?;
        let grpc_listeners = listen(grpc_address).await?;
        let scheme = if options.tls { "https" } else { "http" };
        let base_url = url_of(scheme, &listeners, options.listen)?;
        let grpc_url = url_of(scheme, &grpc_listeners, grpc_address)?;
        let control_url = url_of("http", &control_listeners, control_address)?;

        let org = Org::new(options, base_url, grpc_url)?;
        let (acceptor, grpc_acceptor, ca_pem) = match tls {
            None => (None, None, None),
            Some(tls) => (Some(tls.acceptor), Some(tls.grpc_acceptor), Some(tls.ca_pem)),
        };
        for listener in listeners {
            let answering = Arc::clone(&org);
            let handler = move |request| dispatch::respond(Arc::clone(&answering), request);
            serve(listener, acceptor.clone(), &org.tasks, &org.stopping, Fate::default, handler);
        }
        for listener in grpc_listeners {
            let (answering, breaking) = (Arc::clone(&org), Arc::clone(&org));
            let handler = move |request| pubsub::respond(Arc::clone(&answering), request);
            let fate = move || Fate {
                cut: lock(&breaking.streams.cut).clone(),
                drain: lock(&breaking.streams.drain).clone(),
            };
            serve(listener, grpc_acceptor.clone(), &org.tasks, &org.stopping, fate, handler);
        }
        let page = Arc::new(control::Control::new(Arc::clone(&org), &control_url));
        let control_token = page.token().to_owned();
        for listener in control_listeners {
            let page = Arc::clone(&page);
            let handler = move |request| control::respond(Arc::clone(&page), request);
            serve(listener, None, &org.tasks, &org.stopping, Fate::default, handler);
        }
        Ok(Self { org, control_url, control_token, ca_pem })
    }

    /// Login host and instance in one, such as `http://localhost:40123`.
    pub fn base_url(&self) -> &Url {
        &self.org.base_url
    }

    /// Where the Pub/Sub API answers, such as `http://localhost:40124`: plaintext on loopback, or TLS like the rest.
    pub fn grpc_url(&self) -> &Url {
        &self.org.grpc_url
    }

    /// The control page, without its token; people open [`Simulator::control_page`].
    pub fn control_url(&self) -> &Url {
        &self.control_url
    }

    /// What the control page and its endpoints ask for, as a bearer token.
    pub fn control_token(&self) -> &str {
        &self.control_token
    }

    /// The address that opens the control page in a browser. The token is in the fragment, so that no server log has it.
    pub fn control_page(&self) -> Url {
        let mut page = self.control_url.clone();
        page.set_fragment(Some(&self.control_token));
        page
    }

    /// The certificate of the throw-away authority, with TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// The org, to be changed and looked at from inside.
    pub fn org(&self) -> &Org {
        &self.org
    }

    /// Stops answering and waits until nothing runs any more.
    pub async fn stop(self) {
        self.org.stopping.cancel();
        self.org.tasks.close();
        self.org.tasks.wait().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.org.stopping.cancel();
    }
}

fn url_of(scheme: &str, listeners: &[tokio::net::TcpListener], asked: SocketAddr) -> Result<Url, Error> {
    let failed = |source| Error::Listen { address: asked.to_string(), source };
    let bound = listeners[0].local_addr().map_err(failed)?;
    let host = if bound.ip().is_loopback() || bound.ip().is_unspecified() {
        format!("localhost:{}", bound.port())
    } else {
        bound.to_string()
    };
    Url::parse(&format!("{scheme}://{host}/")).map_err(|error| failed(std::io::Error::other(error)))
}

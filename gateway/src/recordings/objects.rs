//! Recordings as objects of an S3-compatible store: put once and never again, read by ranges, locked, held, deleted.
//!
//! The transfer is the `object_store` library's. What it lacks (a condition on completing an upload in parts, object
//! lock, legal hold, deleting a version) are signed calls in [`super::s3_calls`].

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hoop_model::{SessionId, Timestamp};
use object_store::{
    Certificate, ClientOptions, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut},
    multipart::{MultipartStore as _, PartId},
    path::Path,
};
use tokio::runtime::Handle;

use super::{month, s3_calls::Calls};
use crate::config::{ObjectLock, S3};

/// Attempts at one request beside the first, and the time for all of them; whoever called tries again later.
const RETRIES: usize = 2;

/// Why the store did not do something. Its operator's, the network's, or a setting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectError {
    /// There is an object of this name already.
    #[error("there is an object of this name already")]
    Exists,
    /// There is none.
    #[error("there is no such object")]
    Absent,
    /// The store refused, or could not be reached.
    #[error("the object store failed: {0}")]
    Failed(String),
    /// The settings cannot be used.
    #[error("the settings of the object store cannot be used: {0}")]
    Settings(String),
}

impl From<object_store::Error> for ObjectError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
                Self::Exists
            }
            object_store::Error::NotFound { .. } => Self::Absent,
            // Names the request and the store's answer; keys are in neither.
            other => Self::Failed(other.to_string()),
        }
    }
}

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) length: u64,
    /// Its version, in a bucket that keeps versions.
    pub(crate) version: Option<String>,
}

/// The store.
#[derive(Debug)]
pub(crate) struct Objects {
    store: AmazonS3,
    calls: Calls,
    bucket: String,
    prefix: String,
    lock: ObjectLock,
    /// Whoever reads from a thread of their own waits on this runtime.
    pub(super) runtime: Handle,
}

impl Objects {
    /// # Errors
    /// [`ObjectError::Settings`]. Nothing is asked of the store yet.
    pub(crate) fn new(config: &S3) -> Result<Self, ObjectError> {
        let unusable = |error: object_store::Error| ObjectError::Settings(error.to_string());
        let options = client_options(config)?;
        let retry =
            RetryConfig { max_retries: RETRIES, retry_timeout: config.timeout, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_client_options(options.clone())
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(retry);
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        builder = match &config.key {
            Some((id, secret)) => builder.with_access_key_id(id).with_secret_access_key(secret.expose()),
            None => from_environment(builder),
        };
        let store = builder.build().map_err(unusable)?;
        let calls = Calls::new(config, &options, Arc::clone(store.credentials())).map_err(unusable)?;
        Ok(Self {
            store,
            calls,
            bucket: config.bucket.clone(),
            prefix: config.prefix.clone(),
            lock: config.lock,
            runtime: Handle::current(),
        })
    }

    /// Where a session's recording is: nothing but its id makes the name.
    pub(crate) fn key(&self, session: SessionId) -> String {
        format!("{}/{}/{session}.hoopr", self.prefix, month(session))
    }

    pub(crate) fn bucket(&self) -> &str {
        &self.bucket
    }

    pub(crate) const fn lock(&self) -> ObjectLock {
        self.lock
    }

    fn path(&self, session: SessionId) -> Path {
        Path::from(self.key(session))
    }

    /// Puts a whole recording, unless there is an object of its name.
    pub(crate) async fn put(&self, session: SessionId, bytes: Bytes) -> Result<(), ObjectError> {
        self.put_once(&self.key(session), bytes).await
    }

    /// Puts an object of any name, unless there is one.
    pub(crate) async fn put_once(&self, name: &str, bytes: Bytes) -> Result<(), ObjectError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let payload = PutPayload::from_bytes(bytes);
        let put = object_store::ObjectStore::put_opts(&self.store, &Path::from(name), payload, options).await;
        put.map(|_| ()).map_err(without_bucket)
    }

    /// Begins an upload in parts.
    pub(crate) async fn begin(&self, session: SessionId) -> Result<String, ObjectError> {
        self.store.create_multipart(&self.path(session)).await.map_err(without_bucket)
    }

    /// Adds a part; the answer names it when the upload is completed.
    pub(crate) async fn part(
        &self,
        session: SessionId,
        upload: &str,
        index: usize,
        bytes: Bytes,
    ) -> Result<String, ObjectError> {
        let (path, id) = (self.path(session), upload.to_owned());
        let PartId { content_id } =
            self.store.put_part(&path, &id, index, PutPayload::from_bytes(bytes)).await?;
        Ok(content_id)
    }

    /// Completes an upload in parts, unless there is an object of its name.
    pub(crate) async fn complete(
        &self,
        session: SessionId,
        upload: &str,
        parts: &[String],
    ) -> Result<(), ObjectError> {
        self.calls.complete(&self.key(session), upload, parts).await
    }

    /// Gives an upload up.
    pub(crate) async fn abort(&self, session: SessionId, upload: &str) -> Result<(), ObjectError> {
        match self.store.abort_multipart(&self.path(session), &upload.to_owned()).await {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Looks whether it is there.
    pub(crate) async fn find(&self, session: SessionId) -> Result<Option<Found>, ObjectError> {
        match self.store.head(&self.path(session)).await {
            Ok(meta) => Ok(Some(Found { length: meta.size, version: meta.version })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A range of its bytes.
    pub(crate) async fn range(
        &self,
        session: SessionId,
        from: u64,
        length: u64,
    ) -> Result<Bytes, ObjectError> {
        Ok(self.store.get_range(&self.path(session), from..from.saturating_add(length)).await?)
    }

    /// Locks it until then, as the configuration says.
    pub(crate) async fn retain(
        &self,
        session: SessionId,
        version: Option<&str>,
        until: Timestamp,
    ) -> Result<(), ObjectError> {
        match self.mode() {
            Some(mode) => self.calls.retain(&self.key(session), version, mode, until).await,
            None => Ok(()),
        }
    }

    /// The same for an object of any name that was put once.
    pub(crate) async fn lock_until(&self, name: &str, until: Timestamp) -> Result<(), ObjectError> {
        match self.mode() {
            Some(mode) => self.calls.retain(name, None, mode, until).await,
            None => Ok(()),
        }
    }

    const fn mode(&self) -> Option<&'static str> {
        match self.lock {
            ObjectLock::Off => None,
            ObjectLock::Governance => Some("GOVERNANCE"),
            ObjectLock::Compliance => Some("COMPLIANCE"),
        }
    }

    /// The first 64 KiB of an object: all of a small one.
    pub(crate) async fn small(&self, name: &str) -> Result<Bytes, ObjectError> {
        const MOST: u64 = 64 << 10;
        Ok(self.store.get_range(&Path::from(name), 0..MOST).await?)
    }

    /// Puts a legal hold on it, or takes it away. Without object lock the gateway's own word is all there is.
    pub(crate) async fn hold(&self, session: SessionId, held: bool) -> Result<(), ObjectError> {
        if self.lock == ObjectLock::Off {
            return Ok(());
        }
        self.calls.hold(&self.key(session), held).await
    }

    /// Deletes it, in a bucket that keeps versions each of them. There being none is fine.
    pub(crate) async fn delete(&self, session: SessionId) -> Result<(), ObjectError> {
        const MOST_VERSIONS: usize = 100;
        for _ in 0..MOST_VERSIONS {
            let Some(found) = self.find(session).await? else { return Ok(()) };
            self.calls.delete(&self.key(session), found.version.as_deref()).await?;
            if found.version.is_none() {
                return Ok(());
            }
        }
        Err(ObjectError::Failed(format!("it has more than {MOST_VERSIONS} versions")))
    }
}

/// What is not there when something is to be put is the bucket.
fn without_bucket(error: object_store::Error) -> ObjectError {
    match error.into() {
        ObjectError::Absent => ObjectError::Failed("there is no such bucket".to_owned()),
        other => other,
    }
}

fn client_options(config: &S3) -> Result<ClientOptions, ObjectError> {
    const CONNECT: Duration = Duration::from_secs(5);
    let mut options =
        ClientOptions::new().with_timeout(config.timeout).with_connect_timeout(CONNECT.min(config.timeout));
    if let Some(pem) = &config.authorities {
        let read = Certificate::from_pem_bundle(pem.as_bytes());
        for certificate in read.map_err(|error| ObjectError::Settings(error.to_string()))? {
            options = options.with_root_certificate(certificate);
        }
    }
    let plain = config.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    Ok(options.with_allow_http(plain))
}

/// The keys of the machine: web identity, container and instance roles name themselves in the environment.
fn from_environment(mut builder: AmazonS3Builder) -> AmazonS3Builder {
    for (name, value) in std::env::vars() {
        let wanted = name.starts_with("AWS_")
            && !matches!(
                name.as_str(),
                "AWS_ENDPOINT" | "AWS_ENDPOINT_URL" | "AWS_REGION" | "AWS_DEFAULT_REGION"
            )
            && !name.contains("BUCKET");
        if let Some(key) = wanted.then(|| name.to_ascii_lowercase().parse().ok()).flatten() {
            builder = builder.with_config(key, value);
        }
    }
    builder
}

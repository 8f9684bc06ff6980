//! A store that stops at any step of a write leaves the old state or the new one.

use std::fmt;
use std::sync::Mutex;

use activation_token::clock::SettableClock;
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use manifest::PackageName;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use serde_json::{Value, json};

use super::*;
use crate::amendment::Amendment;
use crate::integrity::Integrity;

/// Works until so many writes were asked for, and then no more: as if the process had died, just
/// before that write or just after it.
#[derive(Debug)]
struct Dying {
    inner: Arc<InMemory>,
    life: Arc<Mutex<Life>>,
}

#[derive(Debug, Clone, Copy)]
struct Life {
    writes_left: u32,
    /// Whether the last write is still done.
    completes: bool,
    dead: bool,
}

impl Dying {
    fn write(&self) -> StoreResult<bool> {
        let mut life = self.life.lock().unwrap();
        if life.dead {
            return Err(dead());
        }
        if life.writes_left == 0 {
            life.dead = true;
            return if life.completes {
                Ok(true)
            } else {
                Err(dead())
            };
        }
        life.writes_left -= 1;
        Ok(false)
    }

    fn read(&self) -> StoreResult<()> {
        let life = self.life.lock().unwrap();
        if life.dead { Err(dead()) } else { Ok(()) }
    }
}

fn dead() -> Error {
    Error::Generic {
        store: "dying",
        source: "it is dead".into(),
    }
}

impl fmt::Display for Dying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dying")
    }
}

#[async_trait]
impl ObjectStore for Dying {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> StoreResult<PutResult> {
        let is_last = self.write()?;
        let put = self.inner.put_opts(path, payload, options).await;
        if is_last { Err(dead()) } else { put }
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        Err(dead())
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.read()?;
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        match self.write() {
            Ok(false) => self.inner.delete_stream(paths),
            Ok(true) => {
                let deleted = self.inner.delete_stream(paths);
                deleted.map(|path| path.and(Err(dead()))).boxed()
            }
            Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        match self.read() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
        }
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> StoreResult<ListResult> {
        Err(dead())
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> StoreResult<()> {
        Err(dead())
    }
}

fn permit() -> PublishPermit {
    PublishPermit::for_tests(PackageName::parse("@acme/order").unwrap(), "ci")
}

fn open(objects: Arc<dyn ObjectStore>) -> Hosted {
    let clock = SettableClock::at("2026-11-21T12:00:00Z".parse().unwrap());
    let url = PublicUrl::new(&"http://gate.example".parse().unwrap()).unwrap();
    Hosted::new(Store::over(objects), url, Arc::new(clock))
}

fn publication(version: &str) -> Publication {
    let tarball = format!("the tarball of {version}").into_bytes();
    let (integrity, shasum) = Integrity::of(&tarball);
    let manifest = json!({
        "name": "@acme/order",
        "version": version,
        "dist": { "integrity": integrity.to_string(), "shasum": shasum.to_hex() },
    });
    Publication {
        version: version.parse().unwrap(),
        tags: [Tag::latest()].into(),
        manifest: manifest.as_object().unwrap().clone(),
        readme: None,
        integrity,
        tarball: tarball.into(),
    }
}

/// The whole package as clients see it, and whether each of its tarballs is there and sound.
async fn seen(objects: &Arc<InMemory>) -> Value {
    let hosted = open(objects.clone());
    let shown = match hosted.package(&permit().reading()).await {
        Ok(Some(shown)) => shown,
        Ok(None) | Err(Failure::Refusal(_)) => return Value::Null,
        Err(Failure::Fault(fault)) => panic!("half a state: {fault}"),
    };
    for version in &shown.state.live {
        let release = shown.package.release(version).unwrap();
        let tarball = hosted.store().tarball(&release.integrity).await;
        let tarball = tarball.unwrap().unwrap();
        assert!(release.integrity.fits(&tarball.bytes().await.unwrap()));
    }
    let mut document: Value =
        serde_json::from_slice(&shown.package.document(false).form(false).body).unwrap();
    // Times differ where a step was taken again.
    document.as_object_mut().unwrap().remove("time");
    document
}

/// Every verb, on a package with two versions.
async fn run(hosted: &Hosted, verb: usize) -> Result<(), Failure> {
    let permit = permit();
    let one: Version = "1.0.0".parse().unwrap();
    let current = hosted.current(&permit).await?.unwrap();
    let revision = current.revision.as_str();
    match verb {
        0 => hosted.publish(&permit, publication("2.0.0")).await,
        1 => {
            let next = Tag::parse("next").unwrap();
            hosted.move_tag(&permit, next, one).await
        }
        2 => {
            // Three deeds in one: a removal, a deprecation, a tag.
            let document = json!({
                "name": "@acme/order",
                "dist-tags": { "latest": "1.0.0", "next": "1.0.0" },
                "versions": { "1.0.0": { "deprecated": "old" } },
            });
            let document = document.to_string();
            let amendment = Amendment::read(permit.name(), document.as_bytes()).unwrap();
            hosted.amend(&permit, &amendment, revision, true).await
        }
        3 => hosted.unpublish(&permit, revision).await,
        _ => hosted.unpublish_version(&permit, &one, revision).await,
    }
}

async fn two_versions() -> Arc<InMemory> {
    let objects = Arc::new(InMemory::new());
    let hosted = open(objects.clone());
    for version in ["1.0.0", "1.1.0"] {
        let published = hosted.publish(&permit(), publication(version)).await;
        published.unwrap();
    }
    objects
}

#[tokio::test]
async fn a_crash_at_any_step_leaves_the_old_state_or_the_new_one() {
    for verb in 0..5 {
        let old = seen(&two_versions().await).await;
        let objects = two_versions().await;
        run(&open(objects.clone()), verb).await.unwrap();
        let new = seen(&objects).await;
        assert_ne!(old, new);

        let (mut olds, mut news, mut ended) = (0, 0, false);
        for step in 0.. {
            let mut completed = false;
            for completes in [false, true] {
                let objects = two_versions().await;
                let life = Life {
                    writes_left: step,
                    completes,
                    dead: false,
                };
                let life = Arc::new(Mutex::new(life));
                let dying = Dying {
                    inner: objects.clone(),
                    life: Arc::clone(&life),
                };
                let result = run(&open(Arc::new(dying)), verb).await;
                completed = !life.lock().unwrap().dead;
                let left = seen(&objects).await;
                assert!(
                    left == old || left == new,
                    "verb {verb}, step {step}: {left}"
                );
                // What was acknowledged is there.
                assert!(result.is_err() || left == new, "verb {verb}, step {step}");
                if left == old {
                    olds += 1;
                } else {
                    news += 1;
                }
                // Whoever comes next can do it again, or finds it done.
                if left == old {
                    run(&open(objects.clone()), verb).await.unwrap();
                    assert_eq!(seen(&objects).await, new);
                }
            }
            if completed {
                ended = true;
                break;
            }
        }
        assert!(
            ended && olds > 1 && news > 1,
            "verb {verb}: {olds} and {news}"
        );
    }
}

#[tokio::test]
async fn a_change_that_is_missing_among_others_is_a_fault_and_not_an_older_state() {
    let objects = two_versions().await;
    for verb in [1, 4] {
        run(&open(objects.clone()), verb).await.unwrap();
    }
    let first = Path::from("packages/@acme/order/changes/1.json");
    object_store::ObjectStoreExt::delete(&*objects, &first)
        .await
        .unwrap();
    let shown = open(objects).package(&permit().reading()).await;
    assert!(matches!(shown, Err(Failure::Fault(_))));
}

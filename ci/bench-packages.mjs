// Publishes what ci/bench-gate measures to a registry, as npm does: one PUT a version.
//
//   node ci/bench-packages.mjs REGISTRY TOKEN [DIRECTORY]
//
// @acme/cart        3 versions with tarballs of 10 kB
// @acme/customers   1 version with a tarball of 5 MB
// @acme/product     300 versions
//
// The bytes are the same at every run. With a directory, the tarballs are left there too.
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const [registry, token, directory] = process.argv.slice(2);

/** Bytes that do not compress, the same ones for the same seed. */
function noise(seed, size) {
  const blocks = [];
  for (let at = 0; at * 64 < size; at++) blocks.push(createHash("sha512").update(`${seed} ${at}`).digest());
  return Buffer.concat(blocks).subarray(0, size);
}

function entry(path, bytes) {
  const header = Buffer.alloc(512);
  const octal = (value, at, size) => header.write(value.toString(8).padStart(size - 1, "0") + "\0", at);
  header.write(path, 0);
  octal(0o644, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(bytes.length, 124, 12);
  octal(0, 136, 12);
  header.write("        0", 148);
  header.write("ustar\x0000", 257);
  octal(header.reduce((sum, byte) => sum + byte, 0), 148, 7);
  return Buffer.concat([header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

async function publish(name, version, size) {
  const manifest = {
    name,
    version,
    description: `A package to measure registries with, version ${version}`,
    license: "MIT",
    main: "index.js",
    bin: { [name.split("/")[1]]: "cli.js" },
    engines: { node: ">=20" },
    dependencies: { "@acme/shared": "^1.0.0", "@acme/domain": "^1.2.0", "@acme/auth-core": "^2.0.0" },
    peerDependencies: { "@acme/tenant-core": ">=1" },
    repository: { type: "git", url: "git+https://git.example/acme/packages.git" },
    keywords: ["commerce", "shop"],
  };
  const tarball = gzipSync(
    Buffer.concat([
      entry("package/package.json", Buffer.from(JSON.stringify(manifest))),
      entry("package/index.js", noise(`${name} ${version}`, size)),
      Buffer.alloc(1024),
    ]),
  );
  const file = `${name.split("/")[1]}-${version}.tgz`;
  if (directory) {
    mkdirSync(`${directory}/${name}/-`, { recursive: true });
    writeFileSync(`${directory}/${name}/-/${file}`, tarball);
  }
  const dist = {
    integrity: `sha512-${createHash("sha512").update(tarball).digest("base64")}`,
    shasum: createHash("sha1").update(tarball).digest("hex"),
    tarball: `${registry}/${name}/-/${file}`,
  };
  const document = {
    _id: name,
    name,
    "dist-tags": { latest: version },
    versions: { [version]: { ...manifest, _id: `${name}@${version}`, readme: "", dist } },
    _attachments: {
      [`${name}-${version}.tgz`]: {
        content_type: "application/octet-stream",
        data: tarball.toString("base64"),
        length: tarball.length,
      },
    },
  };
  const answer = await fetch(`${registry}/${name.replace("/", "%2f")}`, {
    method: "PUT",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(document),
  });
  if (!answer.ok) throw new Error(`${name}@${version}: ${answer.status} ${await answer.text()}`);
  await answer.arrayBuffer();
}

for (const version of ["1.0.0", "1.1.0", "1.2.0"]) await publish("@acme/cart", version, 9_500);
await publish("@acme/customers", "1.0.0", 5_000_000);
for (let minor = 0; minor < 300; minor++) await publish("@acme/product", `1.${minor}.0`, 500);

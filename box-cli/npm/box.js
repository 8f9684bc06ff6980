#!/usr/bin/env node
// Finds the `box` binary and runs it with our arguments, files, signals and exit code. It downloads
// nothing and knows nothing of licenses.
'use strict';

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const NODE_MIN = 20;
const FAILED = 1;
const NOT_RUN = 126;
const NOT_FOUND = 127;
// How programs begin: ELF, and Mach-O of one architecture and of several. A script on PATH may lead
// back to this one.
const MAGIC = ['7f454c46', 'cffaedfe', 'cafebabe'];

const platformPackage = `${require('./package.json').name}-${process.platform}-${process.arch}`;

function end(code, what, hint) {
  fs.writeSync(2, `error: ${what}\n  hint: ${hint}\n`);
  process.exit(code);
}

function fromPackage() {
  try {
    return path.join(path.dirname(require.resolve(`${platformPackage}/package.json`)), 'box');
  } catch {
    return undefined;
  }
}

function isProgram(file) {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    const start = Buffer.alloc(4);
    const open = fs.openSync(file, 'r');
    fs.readSync(open, start, 0, start.length, 0);
    fs.closeSync(open);
    return MAGIC.includes(start.toString('hex'));
  } catch {
    return false;
  }
}

function fromPath() {
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter(Boolean);
  return folders.map((folder) => path.join(folder, 'box')).find(isProgram);
}

function find() {
  const found = process.env.BOX_BINARY || fromPackage() || fromPath();
  if (!found) {
    end(
      NOT_FOUND,
      `there is no box binary for ${process.platform}-${process.arch}`,
      `install ${platformPackage}, put box on PATH, or name it in BOX_BINARY`,
    );
  }
  return found;
}

function run(binary) {
  let child;
  // First, so that none is lost while the child begins.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // A terminal tells the child itself.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) {
        child.kill(signal);
      }
    });
  }
  child = spawn(binary, process.argv.slice(2), { stdio: 'inherit' });
  child.on('error', (error) => {
    const code = error.code === 'ENOENT' ? NOT_FOUND : NOT_RUN;
    end(code, `cannot run ${binary}: ${error.code}`, 'see that BOX_BINARY, or what is installed, is a box binary of this platform');
  });
  child.on('exit', (code, signal) => {
    if (signal === null) {
      process.exit(code);
    }
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
    // Where it is not deadly to us.
    setImmediate(() => process.exit(128 + os.constants.signals[signal]));
  });
}

if (Number.parseInt(process.versions.node, 10) < NODE_MIN) {
  end(FAILED, `this is Node ${process.versions.node}`, `use Node ${NODE_MIN} or newer`);
}
run(find());

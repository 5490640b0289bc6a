// Globals that are npm packages. None comes with the runner: they are taken from a folder of installed packages, if the
// function stage has one, and loaded when first used (aws-sdk takes 121 ms and 12 MB, RUNTIMES section 6).
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const PACKAGES = { AWS: 'aws-sdk', OAuth: 'oauth', xml: 'xml', _: 'lodash' };

// The package's exports, or what stands in for it. `site` may be null.
function library(site, name, otherwise) {
  const folder = site && path.join(site, name);
  return folder && fs.existsSync(folder) ? require(folder) : otherwise();
}

// Can be looked at, so that `typeof` works as for any global, but not used.
function missing(name, npmName) {
  const refuse = () => {
    throw new Error(`${name} is the npm package ${npmName}, which is not installed where this function runs: `
      + `npm install ${npmName}, and name the node_modules folder in HOOKMILL_PROCESSORS__JAVASCRIPT_PACKAGES.`);
  };
  return new Proxy(function missingPackage() {}, { get: refuse, apply: refuse, construct: refuse });
}

// Makers by the name of the global.
function librariesOf(site) {
  const makers = Object.entries(PACKAGES).map(([name, npmName]) => (
    [name, () => library(site, npmName, () => missing(name, npmName))]
  ));
  return { ...Object.fromEntries(makers), FormData: () => library(site, 'form-data', () => FormData) };
}

module.exports = { librariesOf };

/** Folder of this package, which lies two above `src/base` of a checkout, and above `dist/base` and `dist/program` of a package. */
export const PACKAGE_ROOT: URL = new URL("../../", import.meta.url);

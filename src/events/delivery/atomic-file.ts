import { constants } from "node:fs";
import { open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { ignore } from "../../base/background.ts";
import { newId } from "../../base/id.ts";
import { syncDirectory } from "../files.ts";

/** Replaces a file so that a crash or a power cut leaves the old one or the new one, whole. Mode 0600. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${newId("gen")}.new`;
  try {
    const handle = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    ignore(unlink(temporary), "it may not have been made; the failure above is the one to tell");
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Adds text at a file's end and waits for the disk. */
export async function appendDurably(path: string, text: string): Promise<void> {
  const handle = await open(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    const { size } = await handle.stat();
    const bytes = Buffer.from(text);
    const { bytesWritten } = await handle.write(bytes);
    if (bytesWritten < bytes.length) {
      await handle.truncate(size);
      throw new Error(`${path}: the disk took only a part of it`);
    }
    await handle.datasync();
    if (size === 0) await syncDirectory(dirname(path));
  } finally {
    await handle.close();
  }
}

// A container image made by hand: one static program that does nothing, as the pause container of pods.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const source = `#include <unistd.h>
int main(void) { for (;;) pause(); }
`;

/** Writes the image as a tar of an OCI layout, which `ctr images import` reads; its path. */
export function buildPauseImage(folder: string, name: string): string {
  const rootfs = join(folder, 'rootfs');
  const layout = join(folder, 'layout');
  mkdirSync(rootfs, { recursive: true });
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true });
  writeFileSync(join(folder, 'pause.c'), source);
  execFileSync('gcc', ['-static', '-Os', '-o', join(rootfs, 'pause'), join(folder, 'pause.c')]);
  execFileSync('tar', ['-C', rootfs, '-cf', join(folder, 'layer.tar'), '.']);

  const blob = (content: Buffer, mediaType: string): { mediaType: string; digest: string; size: number } => {
    const digest = createHash('sha256').update(content).digest('hex');
    writeFileSync(join(layout, 'blobs/sha256', digest), content);
    return { mediaType, digest: `sha256:${digest}`, size: content.length };
  };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const type = (what: string): string => `application/vnd.oci.image.${what}`;

  const layer = blob(readFileSync(join(folder, 'layer.tar')), type('layer.v1.tar'));
  const architecture = { x64: 'amd64' }[process.arch as string] ?? process.arch;
  const config = blob(
    json({
      architecture,
      os: 'linux',
      config: { Entrypoint: ['/pause'] },
      rootfs: { type: 'layers', diff_ids: [layer.digest] },
    }),
    type('config.v1+json'),
  );
  const manifest = blob(
    json({ schemaVersion: 2, mediaType: type('manifest.v1+json'), config, layers: [layer] }),
    type('manifest.v1+json'),
  );
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations: { 'io.containerd.image.name': name } }] };
  writeFileSync(join(layout, 'index.json'), json(index));
  writeFileSync(join(layout, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
  const tar = join(folder, 'pause.tar');
  execFileSync('tar', ['-C', layout, '-cf', tar, '.']);
  return tar;
}

/** Paths that this API has in later versions. They answer 501 for every method, never 404 or an empty list. */
export const LATER_PATHS: readonly { readonly path: string; readonly feature: string }[] = [
  { path: "/sandboxes/:name/files", feature: "Files of a sandbox" },
  { path: "/sandboxes/:name/files/*", feature: "Files of a sandbox" },
  ...trees("/snapshots", "Snapshots"),
  ...trees("/volumes", "Volumes"),
  ...trees("/pool", "Pools of warm sandboxes"),
  ...trees("/templates", "Templates"),
  ...trees("/opencode", "OpenCode attach"),
  ...trees("/orchestrations", "Orchestrations"),
  ...trees("/objects", "Durable objects"),
  ...trees("/schedules", "Schedules"),
  ...trees("/stores", "Durable stores"),
  ...trees("/ui", "The dashboard"),
];

function trees(path: string, feature: string): { readonly path: string; readonly feature: string }[] {
  return [
    { path, feature },
    { path: `${path}/*`, feature },
  ];
}

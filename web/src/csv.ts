/** Tables of measurements as text. */

import type { LabelStatistics } from "./types.ts";

/** One line for each label, after a line of column names. */
export function statisticsCsv(labels: readonly LabelStatistics[]): string {
  const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
  const rows = labels.map(({ value, name, voxels, volume_ml, mean, std, centroid_mm }) =>
    [value, quoted(name), voxels, volume_ml, mean ?? "", std ?? "", ...(centroid_mm ?? ["", "", ""])].join(","),
  );
  return ["value,name,voxels,volume_ml,mean,std,x_mm,y_mm,z_mm", ...rows, ""].join("\n");
}

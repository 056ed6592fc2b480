/** DICOM to NIfTI, by dcm2niix in a worker of its own; loaded when it is needed. */

import { Dcm2niix } from "@niivue/dcm2niix";
import { AmaesError } from "./errors.ts";

/** The series among DICOM files as volumes, the largest first. */
export async function converted(files: readonly File[]): Promise<File[]> {
  const hint = "Convert the folder with dcm2niix and open the NIfTI file.";
  const dcm2niix = new Dcm2niix();
  try {
    await dcm2niix.init();
    const out: File[] = await dcm2niix.input([...files]).b("n").z("n").f("%d_%s").run();
    const volumes = out.filter((file) => /\.nii$/.test(file.name) && file.size > 352);
    if (volumes.length === 0) {
      throw new AmaesError("volume", "there is no series of images among these DICOM files", hint);
    }
    return volumes.sort((a, b) => b.size - a.size);
  } catch (error) {
    if (error instanceof AmaesError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new AmaesError("volume", `the DICOM files cannot be converted: ${why}`, hint);
  } finally {
    dcm2niix.worker?.terminate();
  }
}

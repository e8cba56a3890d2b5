"""The only room that imports itk and SimpleITK: two front ends, and the files that ITK reads of a source."""

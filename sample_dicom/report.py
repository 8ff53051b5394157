"""The report of the CT study: as a structured report and as an encapsulated PDF (PS3.3 A.35.1, A.45.1)."""

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage, CTImageStorage, EncapsulatedPDFStorage

from sample_dicom.dataset import Series, code, item, new_object

_FINDINGS = (
    "Nốt mờ thuỳ trên phổi phải, đường kính khoảng 14 mm, bờ đều.\r\n"
    "Không thấy tràn dịch, tràn khí màng phổi. Tim và các mạch máu lớn bình thường.\r\n"
    "Gan có nang nhỏ hạ phân thuỳ VII, đường kính khoảng 16 mm. Lách, tuỵ, hai thận bình thường."
)
_CONCLUSION = "Nốt đơn độc phổi phải, đề nghị chụp kiểm tra sau 3 tháng. (Dữ liệu giả lập, không dùng để chẩn đoán.)"


def structured_report(series: Series, key_image: Dataset, images: Sequence[Dataset]) -> Dataset:
    """Return a Basic Text SR in Vietnamese that points at the image with the finding."""
    ds = new_object(series, BasicTextSRStorage, 1)
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "UNVERIFIED"
    ds.ReferencedPerformedProcedureStepSequence = []
    ds.PerformedProcedureCodeSequence = []
    by_series = item(
        SeriesInstanceUID=images[0].SeriesInstanceUID,
        ReferencedSOPSequence=[_reference(image) for image in images],
    )
    evidence = item(StudyInstanceUID=ds.StudyInstanceUID, ReferencedSeriesSequence=[by_series])
    ds.CurrentRequestedProcedureEvidenceSequence = [evidence]
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [code("18748-4", "LN", "Diagnostic imaging report")]
    language = _coded("HAS CONCEPT MOD", code("121049", "DCM", "Language of Content Item and Descendants"))
    language.ConceptCodeSequence = [code("vi", "RFC5646", "Vietnamese")]
    image = item(RelationshipType="CONTAINS", ValueType="IMAGE", ReferencedSOPSequence=[_reference(key_image)])
    ds.ContentSequence = [
        language,
        _section(code("121070", "DCM", "Findings"), code("121071", "DCM", "Finding"), _FINDINGS),
        _section(code("121076", "DCM", "Conclusions"), code("121077", "DCM", "Conclusion"), _CONCLUSION),
        image,
    ]
    return ds


def _coded(relationship: str, name: Dataset) -> Dataset:
    return item(RelationshipType=relationship, ValueType="CODE", ConceptNameCodeSequence=[name])


def _section(heading: Dataset, name: Dataset, text: str) -> Dataset:
    """Return a container with one text."""
    content = item(RelationshipType="CONTAINS", ValueType="TEXT", ConceptNameCodeSequence=[name], TextValue=text)
    return item(
        RelationshipType="CONTAINS",
        ValueType="CONTAINER",
        ContinuityOfContent="SEPARATE",
        ConceptNameCodeSequence=[heading],
        ContentSequence=[content],
    )


def _reference(image: Dataset) -> Dataset:
    return item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID=image.SOPInstanceUID)


def encapsulated_pdf(series: Series, images: Sequence[Dataset]) -> Dataset:
    """Return the report as a PDF in a DICOM object."""
    ds = new_object(series, EncapsulatedPDFStorage, 1)
    ds.ConversionType, ds.BurnedInAnnotation, ds.AcquisitionDateTime = "WSD", "YES", ds.StudyDate + ds.StudyTime
    ds.DocumentTitle = "Phiếu kết quả chụp cắt lớp vi tính"
    ds.ConceptNameCodeSequence = [code("18748-4", "LN", "Diagnostic imaging report")]
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    source = _reference(images[0])
    source.PurposeOfReferenceCodeSequence = [code("121112", "DCM", "Source of Measurement")]
    ds.SourceInstanceSequence = [source]
    document = pdf_document()
    ds.EncapsulatedDocumentLength = len(document)
    ds.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    return ds


def pdf_document() -> bytes:
    """Return a one-page PDF 1.4, written by hand (ISO 32000-1 7.5); its standard font has no Vietnamese letters."""
    lines = (
        (18, "PHIEU KET QUA CHUP CAT LOP VI TINH"),  # codespell:ignore ket
        (11, "Du lieu gia lap - khong dung de chan doan / synthetic, not for diagnosis"),
        (12, "Benh nhan: TRAN VAN AN    Ma so: MAU-000123"),
        (12, "Mo ta: not mo thuy tren phoi phai, duong kinh khoang 14 mm, bo deu."),
        (12, "Ket luan: not don doc phoi phai, de nghi chup kiem tra sau 3 thang."),  # codespell:ignore ket
    )
    shown = "".join(f"/F1 {size} Tf ({text}) Tj 0 -28 Td\n" for size, text in lines)
    content = f"BT 56 770 Td\n{shown}ET\n56 600 m 539 600 l S\n".encode("ascii")
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%bendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    )
    document, offsets = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(document))
        document += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    n = len(objects) + 1
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (n, len(document))
    return document + b"xref\n0 %d\n0000000000 65535 f \n" % n + table + trailer

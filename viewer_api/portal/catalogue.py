"""The words of the pages, in Vietnamese and English, and how dates are written in each."""

from collections.abc import Mapping
from types import MappingProxyType

from starlette.requests import Request

COOKIE = "lang"
LANGUAGES = ("vi", "en")

# key: (Vietnamese, English)
_WORDS: Mapping[str, tuple[str, str]] = {
    "title": ("Kho ảnh y khoa", "Medical image archive"),
    "studies": ("Ca chụp", "Studies"),
    "log_in": ("Đăng nhập", "Log in"),
    "log_out": ("Đăng xuất", "Log out"),
    "user_name": ("Tên đăng nhập", "User name"),
    "password": ("Mật khẩu", "Password"),
    "wrong_login": ("Tên đăng nhập hoặc mật khẩu không đúng.", "The user name or password is wrong."),
    "login_hint": (
        "Nếu quên mật khẩu, hãy hỏi người quản trị hệ thống của cơ sở.",
        "If you have forgotten your password, ask your facility's administrator.",
    ),
    "change_password": ("Đổi mật khẩu", "Change password"),
    "must_change": (
        "Mật khẩu hiện tại chỉ dùng được một lần. Hãy đặt mật khẩu mới để tiếp tục.",
        "Your password was for one use only. Choose a new one to go on.",
    ),
    "old_password": ("Mật khẩu hiện tại", "Current password"),
    "new_password": ("Mật khẩu mới", "New password"),
    "repeat_password": ("Nhập lại mật khẩu mới", "New password again"),
    "passwords_differ": ("Hai lần nhập mật khẩu mới không giống nhau.", "The two new passwords are not the same."),
    "password_rule": (
        "Mật khẩu mới phải có từ {least} đến {most} ký tự, khác tên đăng nhập và khác mật khẩu cũ.",
        "A new password has {least} to {most} characters, and is neither your user name nor the old one.",
    ),
    "name": ("Họ tên", "Name"),
    "name_hint": ("có dấu hoặc không dấu", "with or without accents"),
    "patient_id": ("Mã bệnh nhân", "Patient ID"),
    "from_date": ("Từ ngày", "From"),
    "to_date": ("Đến ngày", "To"),
    "modality": ("Loại máy", "Modality"),
    "all": ("Tất cả", "All"),
    "search": ("Tìm", "Search"),
    "clear": ("Xóa bộ lọc", "Clear"),
    "patient": ("Bệnh nhân", "Patient"),
    "study": ("Ca chụp", "Study"),
    "date": ("Ngày chụp", "Date"),
    "facility": ("Cơ sở", "Facility"),
    "images": ("Số ảnh", "Images"),
    "n_series": ("{n} chuỗi", "{n} series"),
    "n_images": ("{n} ảnh", "{n} images"),
    "n_images_1": ("{n} ảnh", "{n} image"),
    "no_studies": ("Chưa có ca chụp nào.", "No studies yet."),
    "no_matches": ("Không tìm thấy ca chụp nào.", "No studies found."),
    "no_studies_hint": (
        "Ca chụp sẽ hiện ở đây trong vòng một giây sau khi máy gửi tới.",
        "A study appears here within a second after a device has sent it.",
    ),
    "no_matches_hint": ("Hãy thử bớt điều kiện tìm.", "Try fewer conditions."),
    "bad_search": ("Điều kiện tìm không hợp lệ.", "The search cannot be understood."),
    "newer": ("Mới hơn", "Newer"),
    "older": ("Cũ hơn", "Older"),
    "page": ("Trang {n}", "Page {n}"),
    "live": ("Tự cập nhật", "Live"),
    "paused": ("Tạm dừng cập nhật. Bấm để tiếp tục", "Updates paused. Click to go on"),
    "lost": ("Mất kết nối, đang thử lại…", "Connection lost, trying again…"),
    "unnamed": ("(không có tên)", "(no name)"),
    "born": ("sinh {date}", "born {date}"),
    "sex_M": ("Nam", "Male"),
    "sex_F": ("Nữ", "Female"),
    "sex_O": ("Khác", "Other"),
    "flagged": ("Thông tin mâu thuẫn, cần kiểm tra", "Contradictory data, please check"),
    "back": ("Danh sách", "List"),
    "series": ("Chuỗi ảnh", "Series"),
    "window": ("Cửa sổ", "Window"),
    "window_auto": ("Tự động", "Automatic"),
    "window_soft": ("Mô mềm", "Soft tissue"),
    "window_lung": ("Phổi", "Lung"),
    "window_bone": ("Xương", "Bone"),
    "window_brain": ("Não", "Brain"),
    "window_liver": ("Gan", "Liver"),
    "invert": ("Đảo màu", "Invert"),
    "reset": ("Đặt lại", "Reset"),
    "play": ("Chạy / dừng", "Play / stop"),
    "slice": ("Ảnh", "Image"),
    "loading": ("Đang tải…", "Loading…"),
    "no_picture": ("Không hiển thị được ảnh này ở đây.", "This image cannot be shown here."),
    "document": ("Tài liệu PDF", "PDF document"),
    "open_document": ("Mở tài liệu", "Open document"),
    "no_image_series": (
        "Chuỗi này không có ảnh (báo cáo, đánh dấu hoặc dữ liệu khác).",
        "This series has no images (a report, marks or other data).",
    ),
    "download": ("Tải tệp DICOM", "Download DICOM file"),
    "keys": (
        "Lăn chuột hoặc phím mũi tên: chuyển ảnh · Kéo chuột: sáng và tương phản · Ctrl + lăn: phóng to",
        "Wheel or arrow keys: next image · Drag: brightness and contrast · Ctrl + wheel: zoom",
    ),
    "not_diagnostic": (
        "Chỉ để xem tham khảo. Không dùng để chẩn đoán chính.",
        "For review only. Not for primary diagnosis.",
    ),
    "script_needed": (
        "Trình duyệt này không chạy JavaScript; chỉ xem được ảnh đại diện.",
        "This browser does not run JavaScript; only previews can be shown.",
    ),
    "not_found": ("Không tìm thấy", "Not found"),
    "not_found_text": (
        "Không có gì ở địa chỉ này, hoặc bạn không có quyền xem.",
        "There is nothing at this address, or nothing you may see.",
    ),
    "refused": ("Không được phép", "Not allowed"),
    "refused_text": ("Bạn không có quyền làm việc này.", "You may not do this."),
    "trouble": ("Có trục trặc", "Something went wrong"),
    "trouble_text": (
        "Hệ thống đang gặp trục trặc. Hãy thử lại sau ít phút.",
        "The system is in trouble at the moment. Try again in a few minutes.",
    ),
    "open_viewer": ("Mở trình xem", "Open in the viewer"),
    "viewer_list": ("Danh sách của trình xem", "The viewer's own list"),
    "not_cleared": ("Không phải thiết bị y tế được cấp phép", "Not a cleared medical device"),
    "viewer_not_cleared": (
        "Trình xem (OHIF) không phải là thiết bị y tế được cấp phép.",
        "The viewer (OHIF) is not a cleared medical device.",
    ),
    "no_viewer": ("Chưa cài trình xem", "The viewer is not installed"),
    "no_viewer_text": (
        "Danh sách và ảnh vẫn xem được. Để đo đạc và dựng hình 3D, hãy chạy lệnh này trên máy chủ:",
        "List and pictures are there without it. For measuring and 3D run this on the server:",
    ),
    "no_viewer_hint": (
        "Cần npm và Internet một lần; không phải khởi động lại.",
        "It needs npm and the internet once; nothing has to be restarted.",
    ),
    "session_ended": (
        "Phiên làm việc đã hết hạn. Trang này và những gì đã đo vẫn còn: hãy đăng nhập lại trong thẻ mới rồi tiếp tục.",
        "Your session has ended. This page and what you measured are still here: log in in a new tab, then go on.",
    ),
    "may_not_store": (
        "Bạn được xem các ca chụp này nhưng không được thêm vào. Kết quả đo có thể lưu về máy dưới dạng CSV.",
        "You may read these studies, not add to them. What you measured can be saved on this computer as CSV.",
    ),
    "request_id": ("Mã yêu cầu", "Request"),
    "other_language": ("English", "Tiếng Việt"),
}


class Catalogue:
    """The words of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        index = LANGUAGES.index(language)
        self._words = MappingProxyType({key: words[index] for key, words in _WORDS.items()})

    @property
    def other(self) -> str:
        """The language that a reader may change to."""
        return LANGUAGES[1 - LANGUAGES.index(self.language)]

    def __call__(self, key: str, **facts: object) -> str:
        """Return the words of `key` with `facts` filled in; for one thing the singular, where there is one."""
        words = self._words[f"{key}_1" if str(facts.get("n")) == "1" and f"{key}_1" in self._words else key]
        return words.format_map(facts) if facts else words

    def date(self, text: str) -> str:
        """Return a DICOM date as people write it; what is none stays as it is."""
        if len(text) != 8 or not text.isdecimal():
            return text
        year, month, day = text[:4], text[4:6], text[6:]
        return f"{day}/{month}/{year}" if self.language == "vi" else f"{year}-{month}-{day}"


CATALOGUES: Mapping[str, Catalogue] = MappingProxyType({language: Catalogue(language) for language in LANGUAGES})


def catalogue_of(request: Request) -> Catalogue:
    """Return the words a reader wants: asked for in the address, remembered, or preferred by the browser."""
    for wish in (request.query_params.get("lang", ""), request.cookies.get(COOKIE, "")):
        if wish in CATALOGUES:
            return CATALOGUES[wish]
    header = request.headers.get("accept-language", "")
    for member in header.split(","):
        language = member.split(";")[0].strip().split("-")[0].lower()
        if language in CATALOGUES:
            return CATALOGUES[language]
    return CATALOGUES["en" if header else "vi"]

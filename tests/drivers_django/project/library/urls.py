from books.models import Author
from django.http import JsonResponse
from django.urls import path


def authors(request):
    if "add" in request.GET:
        Author.objects.create(name=request.GET["add"])
    return JsonResponse([author.name for author in Author.objects.order_by("id")], safe=False)


urlpatterns = [path("authors/", authors)]
